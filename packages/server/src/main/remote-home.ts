import type { HealthResult } from "@flowcatalyst/foundation";
import type { RouterConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";
import type { RouterHome } from "./router-home.ts";

/** A platform that a router reaches over HTTP, with FC_API_TOKEN. */
export type RemoteHomeConfig = RouterConfig & { readonly apiBaseUrl: string };

/** Adds the check `platform` to the health: whether the last question was answered. */
export async function openRemoteHome(config: RemoteHomeConfig, context: ProcessContext): Promise<RouterHome> {
  const remote = await import("../remote/index.ts");
  const { clock, logger, version, health } = context;
  const client = remote.createPlatformClient(
    { clock },
    { baseUrl: config.apiBaseUrl, token: config.apiToken ?? null, userAgent: `FlowCatalyst/${version}` },
  );
  health.register("platform", (): HealthResult => {
    const { fault } = client;
    return fault === null ? { status: "UP" } : { status: "DOWN", data: { reason: fault } };
  });
  return {
    kind: "platform",
    control: remote.createRemoteDeliveryControl({ client }),
    jobs: {
      deliveries: null,
      check: remote.createRemoteDeliveryCheck({ client }),
      sink: remote.createRemoteAttemptSink({ client, logger }),
    },
    store: null,
    place: client.place,
    services: [],
    close: async () => undefined,
  };
}
