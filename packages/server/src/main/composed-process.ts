import { createSecretBox, type SecretBox } from "@flowcatalyst/foundation";
import { httpUrl } from "./http-service.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { isDatabaseQueue } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";

/** What the services on PostgreSQL have in common. */
export interface SharedSettings {
  readonly host: string;
  readonly metricsPort: number;
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  readonly migrate: boolean;
  readonly queueUrls?: readonly string[];
  readonly dedupWindowHours?: number;
  /** Required by the configuration of each process that sees secrets. */
  readonly appKey?: string | undefined;
}

const msPerHour = 3_600_000;
/** Of a process that neither remembers nor forgets deduplication ids. */
const unusedDedupWindowHours = 1;

/** Opens the store of a service, and registers its health. Throws what `openStore` throws. */
export async function openSharedStore(config: SharedSettings, context: ProcessContext): Promise<OpenStore> {
  const store = await openStore(
    {
      databaseUrl: config.databaseUrl,
      poolSize: config.databasePoolSize,
      migrates: config.migrate,
      hasQueueTables: config.queueUrls?.some(isDatabaseQueue) ?? false,
      dedupWindowMs: (config.dedupWindowHours ?? unusedDedupWindowHours) * msPerHour,
      secretBox: secretBoxOf(config.appKey),
    },
    context,
  );
  context.health.register("database", () => store.probe());
  return store;
}

/** Opens the store, hands it on, and closes it again if the rest cannot be wired. */
export async function composeOnStore(
  config: SharedSettings,
  context: ProcessContext,
  compose: (store: OpenStore) => Promise<Composition>,
): Promise<Composition> {
  const store = await openSharedStore(config, context);
  try {
    return await compose(store);
  } catch (error) {
    await store.close();
    throw error;
  }
}

function secretBoxOf(appKey: string | undefined): (() => SecretBox) | null {
  return appKey === undefined ? null : () => createSecretBox(appKey);
}

/** Where health and metrics of the process are found. */
export function metricsAddress(config: SharedSettings): { metrics: string } {
  return { metrics: httpUrl(config.host, config.metricsPort) };
}

/** What a service says when it is up: to a person the lines, to a program the facts. */
export function announceStart(
  { announce, version }: ProcessContext,
  service: string,
  facts: { readonly addresses: object; readonly database: string; readonly lines: readonly string[] },
): void {
  const { lines, ...document } = facts;
  announce({ kind: "started", service, version, ...document }, () => [
    `FlowCatalyst ${service} ${version} is up`,
    ...lines,
  ]);
}
