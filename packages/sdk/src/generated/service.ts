// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { type CallOptions, type Send } from "../operation.ts";
import type { ServiceRoot } from "./shared.ts";

/** Operations on `service`, one method each. */
export interface ServiceApi {
  /** Addresses, counts and links. `GET /` */
  root(options?: CallOptions): Promise<ServiceRoot>;
}

/** Makes them of something that sends. */
export function serviceApi(send: Send): ServiceApi {
  const api: ServiceApi = {
    root: (options) => send({ method: "GET", path: "/", options }),
  };
  return api;
}
