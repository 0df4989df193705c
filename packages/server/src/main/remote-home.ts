import { configInvalid } from "@flowcatalyst/foundation";
import type { RouterConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";
import type { RouterHome } from "./router-home.ts";

/** A platform that a router reaches over HTTP, with FC_API_TOKEN. */
export type RemoteHomeConfig = RouterConfig & { readonly apiBaseUrl: string };

export function openRemoteHome(config: RemoteHomeConfig, _context: ProcessContext): Promise<RouterHome> {
  throw configInvalid([{ key: "FC_API_BASE_URL", source: config.apiBaseUrl, reason: "is not built yet for routers" }]);
}
