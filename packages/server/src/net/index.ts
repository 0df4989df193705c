export {
  addressGuardLimits,
  createDnsAddressGuard,
  systemResolveHost,
  type DnsAddressGuardDeps,
  type ResolveHost,
} from "./dns-address-guard.ts";
export { createFetchTransport, fetchTransportLimits, type FetchTransportConfig } from "./fetch-transport.ts";
export { maxSimultaneousRequests, simultaneousRequestsVariable } from "./simultaneous-requests.ts";
