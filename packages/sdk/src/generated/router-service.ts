// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { type CallOptions, type Send } from "../operation.ts";
import type { ServiceRoot } from "./shared.ts";

export interface RouterReloadAnswer {
  /** Of the settings in force. */
  readonly revision: number | null;
}

/** Operations on `routerService`, one method each. */
export interface RouterServiceApi {
  /** Read pools and pauses again, now. `POST /config/reload` */
  reloadConfig(options?: CallOptions): Promise<RouterReloadAnswer>;

  /** What this service is, and where its parts are. `GET /` */
  root(options?: CallOptions): Promise<ServiceRoot>;
}

/** Makes them of something that sends. */
export function routerServiceApi(send: Send): RouterServiceApi {
  const api: RouterServiceApi = {
    reloadConfig: (options) => send({ method: "POST", path: "/config/reload", body: {}, options }),
    root: (options) => send({ method: "GET", path: "/", options }),
  };
  return api;
}
