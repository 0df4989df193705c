import { bool, choice, int, list, logFormats, logLevels, port, text, url } from "@flowcatalyst/foundation";

/**
 * Every setting of every process.
 *
 * A setting is defined once, in the group of the stage that it steers, and a process is the union of the groups it
 * reads (process-config.ts): that is what makes `flowcatalyst dev` take exactly what the separate processes take. The
 * reference page docs/reference/configuration.md is generated from this file. A limit stands with its setting; what
 * several settings must fulfil together is a rule of the process.
 */

const DEFAULT_CORS_ORIGINS: readonly string[] = ["http://localhost:4200"];
const NO_ITEMS: readonly string[] = [];
/** Visible ASCII: what a bearer token may hold (RFC 6750, section 2.1, is narrower still). */
const TOKEN_SHAPE = /^[!-~]{1,4096}$/;

export const generalSettings = {
  configPath: text({
    key: "CONFIG_PATH",
    description: "A TOML or YAML file of settings; `pool_concurrency` under `[router]` is FC_ROUTER_POOL_CONCURRENCY.",
  }),
  dataDir: text({
    key: "DATA_DIR",
    description: "Directory of the embedded database and of the application key kept in development.",
    default: "./data",
    aliases: ["DATA_DIR"],
  }),
  host: text({
    key: "HOST",
    description: "Address that all ports are opened on. Any but a loopback address needs FC_API_TOKENS.",
    default: "127.0.0.1",
    pattern: /^[A-Za-z0-9.:-]+$/,
    patternText: "host name or address",
  }),
  metricsPort: port({
    key: "METRICS_PORT",
    description: "Health and metrics. Services that share a host need different ones.",
    default: 9090,
  }),
  logLevel: choice(logLevels, {
    key: "LOG_LEVEL",
    description: "The least severe level that is logged.",
    default: "info",
    aliases: [{ name: "RUST_LOG", read: levelOfRustLog }],
  }),
  logFormat: choice(logFormats, {
    key: "LOG_FORMAT",
    description: "`text` for people, `json` for machines.",
    default: ({ facts }) => (facts.isTerminal ? "text" : "json"),
    defaultText: "`text` on a terminal, else `json`",
  }),
};

/** `RUST_LOG` may hold one level for all and others for single modules; only the one for all is taken. */
function levelOfRustLog(directives: string): string | undefined {
  const level = directives
    .split(",")
    .map((directive) => directive.trim().toLowerCase())
    .find((directive) => directive !== "" && !directive.includes("="));
  if (level === "trace") return "debug";
  return level === "off" ? "silent" : level;
}

const DATABASE_SCHEMES = ["sqlite", "postgres", "postgresql", "mongodb", "mongodb+srv"] as const;

export const databaseSettings = {
  databaseUrl: url({
    key: "DATABASE_URL",
    flag: "--database",
    section: "Storage",
    description: "The database: `sqlite:PATH`, `sqlite::memory:` or `postgres://…`.",
    schemes: DATABASE_SCHEMES,
    default: ({ get }) => `sqlite:${String(get("dataDir"))}/flowcatalyst.db`,
    defaultText: "`sqlite:${FC_DATA_DIR}/flowcatalyst.db`",
    aliases: ["DATABASE_URL"],
  }),
};

/** Of PostgreSQL; a file has the one connection it needs. */
export const databaseAccessSettings = {
  databasePoolSize: int({
    key: "DATABASE_POOL_SIZE",
    section: "Storage",
    description:
      "Connections a process opens to PostgreSQL at most. A few more are used for wake-ups and, by the platform, for " +
      "searches. The server's max_connections must be above the sum over all processes.",
    default: 10,
    min: 2,
    max: 1_000,
    unit: "connections",
  }),
  migrate: bool({
    key: "MIGRATE",
    section: "Storage",
    description:
      "Bring the tables up to this build at the start, as `flowcatalyst migrate` does. Without it a process refuses " +
      "a database that lacks a migration; `flowcatalyst dev` always migrates.",
    default: false,
  }),
};

/** A router may run without a database: on stand-alone messages, or reporting to the platform by HTTP. */
export const optionalDatabaseSettings = {
  databaseUrl: url({
    key: "DATABASE_URL",
    flag: "--database",
    section: "Storage",
    description: databaseSettings.databaseUrl.description,
    schemes: DATABASE_SCHEMES,
    aliases: ["DATABASE_URL"],
  }),
};

export const securitySettings = {
  apiTokens: list({
    key: "API_TOKENS",
    section: "Security",
    description: "Bearer tokens that may use the API, comma separated. Without any, only loopback may be served.",
    default: NO_ITEMS,
    secret: true,
    item: (token) => (TOKEN_SHAPE.test(token) ? undefined : "has spaces or more than 4,096 characters"),
  }),
  authMode: choice(["none", "token", "embedded", "remote"], {
    key: "AUTH_MODE",
    section: "Security",
    description: "Who may use the API. `embedded` and `remote` are not built yet and refused.",
    default: ({ get }) => ((get("apiTokens") as readonly string[]).length > 0 ? "token" : "none"),
    defaultText: "`token` if FC_API_TOKENS is set, else `none`",
    aliases: ["AUTH_MODE"],
  }),
};

export const secretsSettings = {
  appKey: text({
    key: "APP_KEY",
    section: "Security",
    description:
      "Key that stored secrets are sealed with: base64 of 32 bytes; several, comma separated, while it is rotated " +
      "(the first seals). All processes of a PostgreSQL database need the same one. Without it `flowcatalyst dev` " +
      "makes one and keeps it in FC_DATA_DIR.",
    secret: true,
  }),
};

export function targetSettings(allowed: readonly string[]) {
  return {
    allowedTargetCidrs: list({
      key: "ALLOWED_TARGET_CIDRS",
      section: "Security",
      description: "Networks that webhooks may go to although they are private.",
      default: allowed,
      defaultText: "empty; in `flowcatalyst dev` `127.0.0.0/8,::1/128`",
      item: (cidr) => (/^[0-9a-fA-F.:]+\/\d{1,3}$/.test(cidr) ? undefined : "is no network like 10.0.0.0/8"),
    }),
  };
}

export const platformSettings = {
  apiPort: port({
    key: "API_PORT",
    section: "Platform",
    description: "The platform API.",
    default: 8080,
    aliases: ["HTTP_PORT", "PORT"],
  }),
  corsOrigins: list({
    key: "CORS_ORIGINS",
    section: "Platform",
    description: "Web origins that may call the API from a browser.",
    default: DEFAULT_CORS_ORIGINS,
    aliases: ["CORS_ORIGINS"],
    item: (origin) => (origin === "*" || URL.canParse(origin) ? undefined : "is no origin like https://example.org"),
  }),
};

/** The platform remembers ids, and housekeeping forgets them. */
export const deduplicationSettings = {
  dedupWindowHours: int({
    key: "DEDUP_WINDOW_HOURS",
    section: "Platform",
    description: "How long a deduplication id is remembered.",
    default: 168,
    min: 1,
    max: 8_760,
    unit: "hours",
  }),
};

/** Housekeeping runs beside the scheduler. */
export const maintenanceSettings = {
  retentionDays: int({
    key: "RETENTION_DAYS",
    section: "Scheduler",
    description: "Events, jobs and attempts older than this are deleted.",
    default: 90,
    min: 1,
    max: 3_650,
    unit: "days",
  }),
  auditRetentionDays: int({
    key: "AUDIT_RETENTION_DAYS",
    section: "Scheduler",
    description: "Audit logs older than this are deleted.",
    default: 365,
    min: 1,
    max: 36_500,
    unit: "days",
  }),
};

export const streamSettings = {
  streamBatchSize: int({
    key: "STREAM_BATCH_SIZE",
    section: "Stream",
    description: "Events a pass takes at most.",
    default: 500,
    min: 1,
    max: 10_000,
    unit: "events",
  }),
  streamPollIntervalMs: int({
    key: "STREAM_POLL_INTERVAL_MS",
    section: "Stream",
    description: "Pause between passes when no wake-up comes.",
    default: 1_000,
    min: 10,
    max: 60_000,
    unit: "ms",
  }),
};

export const schedulerSettings = {
  schedulerPollIntervalMs: int({
    key: "SCHEDULER_POLL_INTERVAL_MS",
    section: "Scheduler",
    description: "Pause between passes when no wake-up comes.",
    default: 1_000,
    min: 10,
    max: 60_000,
    unit: "ms",
  }),
  schedulerBatchSize: int({
    key: "SCHEDULER_BATCH_SIZE",
    section: "Scheduler",
    description: "Jobs a pass publishes at most.",
    default: 500,
    min: 1,
    max: 10_000,
    unit: "jobs",
  }),
  schedulerPublishWindow: int({
    key: "SCHEDULER_PUBLISH_WINDOW",
    section: "Scheduler",
    description: "Messages of one subscription that may be on the queue and unsettled.",
    default: 1_000,
    min: 1,
    max: 100_000,
    unit: "messages",
  }),
};

/** How a process without a database of its own reaches the platform. */
export const platformAccessSettings = {
  apiBaseUrl: url({
    key: "API_BASE_URL",
    flag: "--url",
    section: "Platform access",
    description: "The platform API, for outbox processors and routers without a database.",
    schemes: ["http", "https"],
    default: "http://localhost:8080",
  }),
  apiToken: text({
    key: "API_TOKEN",
    section: "Platform access",
    description: "Bearer token sent to the platform API.",
    secret: true,
  }),
};

/** A router without a database may run without a platform too: on stand-alone messages. */
export const optionalPlatformAccessSettings = {
  apiBaseUrl: url({
    key: "API_BASE_URL",
    section: "Platform access",
    description: platformAccessSettings.apiBaseUrl.description,
    schemes: ["http", "https"],
  }),
  apiToken: platformAccessSettings.apiToken,
};

const outboxUrl = {
  key: "OUTBOX_DB_URL",
  section: "Outbox",
  schemes: ["postgres", "postgresql", "mysql", "mariadb", "mongodb", "mongodb+srv", "sqlite"],
  description: "The application's database that holds the outbox table; `dev` runs the processor if it is given.",
  aliases: ["OUTBOX_DB_URL"],
} as const;

const outboxBehaviourSettings = {
  outboxDbType: choice(["postgres", "mysql", "mongodb", "sqlite"], {
    key: "OUTBOX_DB_TYPE",
    section: "Outbox",
    description: "Kind of that database; its address says it, so it need not be given.",
    aliases: ["OUTBOX_DB_TYPE"],
  }),
  outboxMode: choice(["platform", "router"], {
    key: "OUTBOX_MODE",
    flag: "--mode",
    section: "Outbox",
    description:
      "`platform`: rows of `outbox_messages` go to the platform. " +
      "`router`: rows of the older table `outbox` go to the router.",
    default: "platform",
    aliases: ["OUTBOX_MODE"],
  }),
  outboxTable: text({
    key: "OUTBOX_TABLE",
    flag: "--table",
    section: "Outbox",
    description: "Name of the table or collection, with its schema if need be.",
    defaultText: "`outbox_messages`, or `outbox` in the mode `router`",
    aliases: ["OUTBOX_TABLE"],
  }),
  outboxRouterUrl: url({
    key: "OUTBOX_ROUTER_URL",
    section: "Outbox",
    description: "The router's API, in the mode `router`.",
    schemes: ["http", "https"],
    default: "http://localhost:8081",
  }),
  outboxPollIntervalMs: int({
    key: "OUTBOX_POLL_INTERVAL_MS",
    section: "Outbox",
    description: "Pause between two looks at the table when no wake-up comes.",
    default: 1_000,
    min: 10,
    max: 60_000,
    unit: "ms",
    aliases: ["OUTBOX_POLL_INTERVAL_MS"],
  }),
  outboxBatchSize: int({
    key: "OUTBOX_BATCH_SIZE",
    section: "Outbox",
    description: "Rows sent in one request at most.",
    default: 500,
    min: 1,
    max: 500,
    unit: "rows",
    aliases: ["OUTBOX_BATCH_SIZE"],
  }),
  outboxConcurrency: int({
    key: "OUTBOX_CONCURRENCY",
    section: "Outbox",
    description: "Requests under way at once; no two of them have rows of one group.",
    default: 10,
    min: 1,
    max: 100,
    unit: "requests",
    aliases: ["OUTBOX_CONCURRENCY"],
  }),
  outboxMaxRetries: int({
    key: "OUTBOX_MAX_RETRIES",
    section: "Outbox",
    description: "How often a row is tried again; then it waits for an operator.",
    default: 10,
    min: 0,
    max: 1_000,
    unit: "retries",
    aliases: ["OUTBOX_MAX_RETRIES"],
  }),
  outboxBlockOnError: bool({
    key: "OUTBOX_BLOCK_ON_ERROR",
    section: "Outbox",
    description: "A row that failed holds those behind it in its group, until it is taken, skipped or refused.",
    default: true,
    aliases: ["OUTBOX_BLOCK_ON_ERROR"],
  }),
  outboxRetentionHours: int({
    key: "OUTBOX_RETENTION_HOURS",
    section: "Outbox",
    description: "Rows that were taken are deleted after that; 0 keeps them for ever.",
    default: 24,
    min: 0,
    max: 8_760,
    unit: "hours",
    aliases: ["OUTBOX_RETENTION_HOURS"],
  }),
};

export const outboxSettings = {
  outboxDbUrl: url({ ...outboxUrl, flag: "--database", required: true }),
  ...outboxBehaviourSettings,
};

/** The outbox processor inside `flowcatalyst dev`, which starts it when there is a table to read. */
export const optionalOutboxSettings = {
  outboxDbUrl: url(outboxUrl),
  ...outboxBehaviourSettings,
};

export function standbySettings(service: string) {
  return {
    standbyEnabled: bool({
      key: "STANDBY_ENABLED",
      section: "Standby",
      description: "One instance is active and the others wait for it to fall silent.",
      default: false,
      aliases: ["LEADER_ELECTION_ENABLED"],
    }),
    standbyRedisUrl: url({
      key: "STANDBY_REDIS_URL",
      section: "Standby",
      description: "Redis that holds the lease; without it the database does.",
      schemes: ["redis", "rediss"],
      aliases: ["REDIS_URL"],
    }),
    standbyLockKey: text({
      key: "STANDBY_LOCK_KEY",
      section: "Standby",
      description: "Name of the lease.",
      default: `fc:${service}:leader`,
      defaultText: "`fc:<service>:leader`",
    }),
    standbyInstanceId: text({
      key: "STANDBY_INSTANCE_ID",
      section: "Standby",
      description: "Name of this instance among those that compete for the lease.",
      default: ({ facts }) => `${facts.hostName}:${facts.pid}`,
      defaultText: "host name and process id",
    }),
    standbyLockTtlSecs: int({
      key: "STANDBY_LOCK_TTL_SECS",
      section: "Standby",
      description: "How long the lease lasts without being renewed.",
      default: 30,
      min: 3,
      max: 3_600,
      unit: "seconds",
      aliases: ["LEADER_TTL"],
    }),
    standbyRefreshIntervalSecs: int({
      key: "STANDBY_REFRESH_INTERVAL_SECS",
      section: "Standby",
      description: "How often the lease is renewed.",
      default: 10,
      min: 1,
      max: 1_200,
      unit: "seconds",
      aliases: ["LEADER_REFRESH_INTERVAL"],
    }),
  };
}
