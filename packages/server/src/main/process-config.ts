import {
  configInvalid,
  defineConfig,
  knownKeysOf,
  loadConfig,
  type ConfigEntry,
  type ConfigFacts,
  type ConfigOf,
  type LoadResult,
  type NamedSchema,
} from "@flowcatalyst/foundation";
import {
  configuredRouterSettings,
  defaultPoolSettings,
  queueSettings,
  routerLimitSettings,
  routerQueueSettings,
  routerSettings,
} from "./router-settings.ts";
import {
  databaseAccessSettings,
  databaseSettings,
  deduplicationSettings,
  generalSettings,
  maintenanceSettings,
  optionalDatabaseSettings,
  optionalPlatformAccessSettings,
  optionalOutboxSettings,
  outboxSettings,
  platformAccessSettings,
  platformSettings,
  schedulerSettings,
  secretsSettings,
  securitySettings,
  standbySettings,
  streamSettings,
  targetSettings,
} from "./settings.ts";

/**
 * What each process reads of the settings, and the rules over several of them.
 *
 * A variable that any of our processes knows is accepted by all, so that one environment can serve a whole
 * deployment. Every process is read by `loadProcessConfig`; nothing else in the product looks at the environment.
 */

const NAMES = { prefix: "FC_", separator: "_" } as const;
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(["127.0.0.1", "::1", "localhost"]);
/** `flowcatalyst dev` delivers to the developer's own machine. */
const DEV_TARGET_CIDRS: readonly string[] = ["127.0.0.0/8", "::1/128"];
/** A holder must be able to miss one renewal without losing the lease. */
const MIN_RENEWALS_PER_TTL = 2;

function hostNeedsTokens(config: { readonly host: string; readonly apiTokens: readonly string[] }) {
  if (LOOPBACK_HOSTS.has(config.host) || config.apiTokens.length > 0) return undefined;
  return { property: "host", reason: `is not a loopback address, which needs FC_API_TOKENS` } as const;
}

function authModeIsBuilt(config: { readonly authMode: string; readonly apiTokens: readonly string[] }) {
  if (config.authMode === "embedded" || config.authMode === "remote") {
    return { property: "authMode", reason: "is not built yet; use none or token" } as const;
  }
  if (config.authMode === "token" && config.apiTokens.length === 0) {
    return { property: "authMode", reason: "is token, which needs FC_API_TOKENS" } as const;
  }
  if (config.authMode === "none" && config.apiTokens.length > 0) {
    return { property: "authMode", reason: "is none although FC_API_TOKENS is set; remove one of them" } as const;
  }
  return undefined;
}

function queueHasDatabase(config: { readonly queueUrls: readonly string[]; readonly databaseUrl: string | undefined }) {
  if (!config.queueUrls.some(isDatabaseQueue) || config.databaseUrl !== undefined) return undefined;
  return { property: "queueUrls", reason: "is db:, which needs FC_DATABASE_URL; else name a queue" } as const;
}

/** The queue in the tables of the store. */
export function isDatabaseQueue(url: string): boolean {
  return url.startsWith("db:");
}

/** A file has one process, and two of these always share their database. */
function databaseIsShared(config: { readonly databaseUrl: string | undefined }) {
  if (config.databaseUrl === undefined || isPostgres(config.databaseUrl)) return undefined;
  const reason = "must be postgres://… for services of their own; `flowcatalyst dev` runs everything on a SQLite file";
  return { property: "databaseUrl", reason } as const;
}

function queueIsShared(config: { readonly queueUrls: readonly string[] }) {
  if (config.queueUrls[0]?.startsWith("sqlite:") !== true) return undefined;
  const reason = "is a file, which one process has for itself; routers could not receive from it";
  return { property: "queueUrls", reason } as const;
}

/** Whoever reads a secret must have the key of whoever stored it. */
function sharedSecretsHaveKey(config: {
  readonly databaseUrl: string | undefined;
  readonly appKey: string | undefined;
}) {
  if (config.databaseUrl === undefined || !isPostgres(config.databaseUrl) || config.appKey !== undefined) {
    return undefined;
  }
  const reason = "is needed with PostgreSQL, the same for all processes; `openssl rand -base64 32` makes one";
  return { property: "appKey", reason } as const;
}

export function isPostgres(url: string): boolean {
  return url.startsWith("postgres:") || url.startsWith("postgresql:");
}

function leaseOutlivesRenewal(config: {
  readonly standbyLockTtlSecs: number;
  readonly standbyRefreshIntervalSecs: number;
}) {
  if (config.standbyRefreshIntervalSecs * MIN_RENEWALS_PER_TTL <= config.standbyLockTtlSecs) return undefined;
  return {
    property: "standbyRefreshIntervalSecs",
    reason: "must be at most half of FC_STANDBY_LOCK_TTL_SECS",
  } as const;
}

/** A router keeps its lease in Redis, or where the platform's leases are. */
function standbyHasLease(config: {
  readonly standbyEnabled: boolean;
  readonly standbyRedisUrl: string | undefined;
  readonly databaseUrl: string | undefined;
}) {
  if (!config.standbyEnabled || config.standbyRedisUrl !== undefined || config.databaseUrl !== undefined) {
    return undefined;
  }
  const reason = "is on, which needs FC_STANDBY_REDIS_URL or FC_DATABASE_URL to keep the lease in";
  return { property: "standbyEnabled", reason } as const;
}

/** Ports of one process must differ, but for 0, which is any free one. */
function portsDiffer(config: {
  readonly apiPort?: number;
  readonly routerPort?: number;
  readonly metricsPort: number;
}) {
  const { apiPort = 0, routerPort = 0, metricsPort } = config;
  const taken = [apiPort, routerPort].filter((value) => value !== 0);
  if (!taken.includes(metricsPort) && new Set(taken).size === taken.length) return undefined;
  return { property: "metricsPort", reason: "and the other ports of this process must all be different" } as const;
}

/** The kind of database is told by its address; FC_OUTBOX_DB_TYPE may only say the same. */
function outboxTypeIsOfItsUrl(config: {
  readonly outboxDbUrl: string | undefined;
  readonly outboxDbType: OutboxEngine | undefined;
}) {
  const { outboxDbUrl, outboxDbType } = config;
  if (outboxDbUrl === undefined || outboxDbType === undefined) return undefined;
  const engine = outboxEngineOf(outboxDbUrl);
  if (engine === outboxDbType) return undefined;
  return { property: "outboxDbType", reason: `is ${outboxDbType}, and FC_OUTBOX_DB_URL is of ${engine}` } as const;
}

export type OutboxEngine = "postgres" | "mysql" | "mongodb" | "sqlite";

/** The engine that an address accepted by FC_OUTBOX_DB_URL is of. */
export function outboxEngineOf(url: string): OutboxEngine {
  if (isPostgres(url)) return "postgres";
  if (url.startsWith("mongodb")) return "mongodb";
  return url.startsWith("sqlite:") ? "sqlite" : "mysql";
}

const platformSchema = defineConfig({
  ...NAMES,
  settings: {
    ...generalSettings,
    ...platformSettings,
    ...deduplicationSettings,
    ...databaseSettings,
    ...databaseAccessSettings,
    ...queueSettings,
    ...routerLimitSettings,
    ...securitySettings,
    ...secretsSettings,
    ...targetSettings([]),
  },
  rules: [hostNeedsTokens, authModeIsBuilt, portsDiffer, databaseIsShared, sharedSecretsHaveKey],
});

const streamSchema = defineConfig({
  ...NAMES,
  settings: { ...generalSettings, ...streamSettings, ...databaseSettings, ...databaseAccessSettings },
  rules: [databaseIsShared],
});

const schedulerSchema = defineConfig({
  ...NAMES,
  settings: {
    ...generalSettings,
    ...schedulerSettings,
    ...maintenanceSettings,
    ...deduplicationSettings,
    ...databaseSettings,
    ...databaseAccessSettings,
    ...queueSettings,
  },
  rules: [databaseIsShared, queueIsShared],
});

const routerSchema = defineConfig({
  ...NAMES,
  settings: {
    ...generalSettings,
    ...routerSettings,
    ...defaultPoolSettings,
    ...optionalDatabaseSettings,
    ...databaseAccessSettings,
    ...configuredRouterSettings,
    ...routerQueueSettings,
    ...securitySettings,
    ...secretsSettings,
    ...targetSettings([]),
    ...optionalPlatformAccessSettings,
    ...standbySettings("router"),
  },
  rules: [
    hostNeedsTokens,
    authModeIsBuilt,
    portsDiffer,
    queueHasDatabase,
    databaseIsShared,
    sharedSecretsHaveKey,
    standbyHasLease,
    leaseOutlivesRenewal,
  ],
});

const outboxSchema = defineConfig({
  ...NAMES,
  settings: { ...generalSettings, ...outboxSettings, ...platformAccessSettings },
  rules: [outboxTypeIsOfItsUrl],
});

const devSchema = defineConfig({
  ...NAMES,
  settings: {
    ...generalSettings,
    ...platformSettings,
    ...deduplicationSettings,
    ...streamSettings,
    ...schedulerSettings,
    ...routerSettings,
    ...maintenanceSettings,
    ...databaseSettings,
    ...databaseAccessSettings,
    ...queueSettings,
    ...securitySettings,
    ...secretsSettings,
    ...targetSettings(DEV_TARGET_CIDRS),
    ...optionalOutboxSettings,
  },
  rules: [hostNeedsTokens, authModeIsBuilt, portsDiffer, outboxTypeIsOfItsUrl],
});

/** `flowcatalyst migrate`, which ends when it is done. */
const migrateSchema = defineConfig({
  ...NAMES,
  settings: { ...generalSettings, ...databaseSettings, ...queueSettings },
});

/** The schema of every process, in the order of the pipeline. */
export const processSchemas = {
  platform: platformSchema,
  stream: streamSchema,
  scheduler: schedulerSchema,
  router: routerSchema,
  outbox: outboxSchema,
  dev: devSchema,
  migrate: migrateSchema,
} as const;

export type ProcessName = keyof typeof processSchemas;
export type ProcessConfig<P extends ProcessName> = ConfigOf<(typeof processSchemas)[P]["settings"]>;
export type PlatformConfig = ProcessConfig<"platform">;
export type StreamConfig = ProcessConfig<"stream">;
export type SchedulerConfig = ProcessConfig<"scheduler">;
export type MigrateConfig = ProcessConfig<"migrate">;
export type RouterConfig = ProcessConfig<"router">;
export type OutboxConfig = ProcessConfig<"outbox">;
export type DevConfig = ProcessConfig<"dev">;

/** Variables that belong to settings but are no setting themselves, or to the command line in the same environment. */
const COMPANION_KEYS: readonly string[] = ["QUEUE_TYPE", "FC_ROUTER_URL"];

/** Where the configuration of a process comes from. */
export type ConfigInput = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly facts: ConfigFacts;
  /** By property name: what the command line gave. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
};

/** Reads the configuration of a process from file, environment and flags; all faults together, as a value. */
export function loadProcessConfig<P extends ProcessName>(
  name: P,
  input: ConfigInput,
): Promise<LoadResult<ProcessConfig<P>>> {
  const configPath = input.flags?.["configPath"] ?? input.env["FC_CONFIG_PATH"];
  const knownKeys = [...Object.values(processSchemas).flatMap(knownKeysOf), ...COMPANION_KEYS];
  const files = configPath === undefined || configPath === "" ? [] : [configPath];
  const loaded = loadConfig(processSchemas[name] as Parameters<typeof loadConfig>[0], { ...input, files, knownKeys });
  // The table's type says that each name has its own schema, which indexing by a parameter loses.
  return loaded as Promise<unknown> as Promise<LoadResult<ProcessConfig<P>>>;
}

/** The same for a process that is starting: throws CONFIG_INVALID with every fault in its message. */
export async function requireProcessConfig<P extends ProcessName>(
  name: P,
  input: ConfigInput,
): Promise<{ readonly config: ProcessConfig<P>; readonly entries: readonly ConfigEntry[] }> {
  const loaded = await loadProcessConfig(name, input);
  if (loaded.kind === "faulty") throw configInvalid(loaded.faults);
  return loaded;
}

/** All schemas with their names, for the generated reference page. */
export function namedSchemas(): NamedSchema[] {
  return Object.entries(processSchemas).map(([process, schema]) => ({ process, schema }));
}
