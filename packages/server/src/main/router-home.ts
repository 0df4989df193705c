import type { Service } from "@flowcatalyst/foundation";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import type { DeliveryCheck, DeliveryReader } from "../ports/delivery-reader.ts";
import { openSharedStore } from "./composed-process.ts";
import { deliveryCheckOf } from "./delivery-check.ts";
import type { OpenStore } from "./open-store.ts";
import type { RouterConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";

/**
 * Where a router gets what is not on the queue, and reports to. One of three, chosen by the settings:
 *
 * - FC_DATABASE_URL: the platform's database itself (`storeHome`);
 * - FC_API_BASE_URL without a database: the platform over HTTP (remote-home.ts);
 * - neither: nobody (`standaloneHome`). Messages are stand-alone ones.
 */
export interface RouterHome {
  readonly kind: "store" | "platform" | "none";
  readonly control: DeliveryControl;
  /** Null: the queue carries stand-alone messages only. */
  readonly jobs: RouterJobs | null;
  /** Whose database has the queue that `db:` names, and leases; null: there is none. */
  readonly store: Pick<OpenStore, "openQueue" | "leases"> | null;
  /** For the greeting and for `--json`: without user and password. */
  readonly place: string | null;
  /** What must run while the router does, started before it and stopped after it. */
  readonly services: readonly Service[];
  /** After everything has stopped, and once. */
  close(): Promise<void>;
}

/** What a router needs for jobs of the platform. */
export interface RouterJobs {
  /** Null: the queue carries whole deliveries. */
  readonly deliveries: DeliveryReader | null;
  /** Null or absent: deliveries that a message carries are believed, however old. */
  readonly check?: DeliveryCheck | null;
  readonly sink: AttemptSink;
}

/** The seam of router.ts. Health checks of the home are registered in `context.health` by whoever opens it. */
export async function openRouterHome(config: RouterConfig, context: ProcessContext): Promise<RouterHome> {
  if (config.databaseUrl !== undefined) return storeHome({ ...config, databaseUrl: config.databaseUrl }, context);
  if (config.apiBaseUrl !== undefined) {
    const { openRemoteHome } = await import("./remote-home.ts");
    return openRemoteHome({ ...config, apiBaseUrl: config.apiBaseUrl }, context);
  }
  return standaloneHome(context);
}

async function storeHome(
  config: RouterConfig & { readonly databaseUrl: string },
  context: ProcessContext,
): Promise<RouterHome> {
  const store = await openSharedStore(config, context);
  return {
    kind: "store",
    control: store.control,
    jobs: storeJobs(store),
    store,
    place: store.place,
    services: store.services,
    close: () => store.close(),
  };
}

/** A message that carries whole deliveries and came again is asked about; one of references is read in any case. */
export function storeJobs({ deliveryReader, attemptSink }: OpenStore): RouterJobs {
  return { deliveries: deliveryReader, check: deliveryCheckOf(deliveryReader), sink: attemptSink };
}

/**
 * Pools are configured nowhere, so every lane goes to the default pool; nothing can be paused or cancelled, and
 * messages are not signed, because there is nobody to ask for secrets.
 */
export function standaloneHome({ clock }: Pick<ProcessContext, "clock">): RouterHome {
  const state = { revision: 1, pools: [], pausedSubscriptions: new Set<never>(), cancelledJobs: new Set<never>() };
  return {
    kind: "none",
    control: {
      async read(knownRevision, waitMs, signal) {
        if (knownRevision === state.revision) await clock.sleep(waitMs, signal);
        return state;
      },
      secrets: async () => [],
    },
    jobs: null,
    store: null,
    place: null,
    services: [],
    close: async () => undefined,
  };
}
