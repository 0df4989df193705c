export { addressGuardLimits, createDnsAddressGuard, systemResolveHost } from "./dns-address-guard.ts";
export { createFetchTransport } from "./fetch-transport.ts";
export { maxSimultaneousRequests } from "./simultaneous-requests.ts";
