import { int, port, text, url, urls } from "@flowcatalyst/foundation";

/** Settings of the queues, and of routers, which receive from them. See settings.ts for what a setting is. */

const NO_ITEMS: readonly string[] = [];
/** What the word `nats` is read as in FC_QUEUE_URL. */
export const localNats = "nats:";
export const localNatsPort = 4_222;

const DATABASE_SCHEMES = ["db", "sqlite", "postgres", "postgresql"] as const;
const BROKER_SCHEMES = ["nats", "tls", "sqs", "https", "http", "amqp", "amqps"] as const;
const QUEUE_SCHEMES = [...DATABASE_SCHEMES, ...BROKER_SCHEMES] as const;
const DATABASE_QUEUE: readonly string[] = ["db:"];

export const queueSettings = {
  queueUrls: urls({
    key: "QUEUE_URL",
    flag: "--queue",
    section: "Storage",
    description:
      "The queue: `db:` (tables in the database), `postgres://…` (tables in a database of its own), `sqlite:PATH`, " +
      "`nats://…`, `sqs://…` or `https://sqs.…`, `amqp://…`; `nats` is that of FC_NATS_URL. Of several, routers " +
      "receive from all, and whoever publishes uses the first. A router with FC_ROUTER_CONFIG_URL and without " +
      "FC_DATABASE_URL needs none.",
    schemes: QUEUE_SCHEMES,
    words: { nats: localNats },
    default: DATABASE_QUEUE,
    aliases: [
      "QUEUE_URL",
      { name: "SQS_QUEUE_URL", read: (value, env) => (isQueueType(env, "sqs") ? value : undefined) },
      { name: "NATS_URL", read: (value, env) => (isQueueType(env, "nats") ? value : undefined) },
    ],
  }),
  natsUrl: url({
    key: "NATS_URL",
    section: "Storage",
    description:
      "The NATS that `nats` means in FC_QUEUE_URL. Without it that is 127.0.0.1:4222, where `flowcatalyst dev` " +
      "starts the `nats-server` of the PATH, with its data in FC_DATA_DIR/nats.",
    schemes: ["nats", "tls"],
    aliases: ["NATS_URL"],
  }),
};

/** A router may be told of its queues by FC_ROUTER_CONFIG_URL alone. */
export const routerQueueSettings = {
  ...queueSettings,
  queueUrls: urls({
    ...queueSettings.queueUrls,
    schemes: QUEUE_SCHEMES,
    default: ({ get }) => {
      const isToldOfQueues = (get("routerConfigUrls") as readonly string[]).length > 0;
      return isToldOfQueues && get("databaseUrl") === undefined ? NO_ITEMS : DATABASE_QUEUE;
    },
    defaultText: "`db:`",
  }),
};

function isQueueType(env: Readonly<Record<string, string | undefined>>, type: string): boolean {
  return env["QUEUE_TYPE"]?.trim().toLowerCase() === type;
}

/** The platform refuses pools that together ask for more than a router may do. */
export const routerLimitSettings = {
  routerMaxInFlight: int({
    key: "ROUTER_MAX_IN_FLIGHT",
    section: "Router",
    description: "Calls at once in the whole process; the pools together may not ask for more.",
    default: 4_096,
    min: 1,
    max: 65_336,
    unit: "calls",
  }),
};

export const routerSettings = {
  ...routerLimitSettings,
  routerPort: port({
    key: "ROUTER_PORT",
    section: "Router",
    description: "The router API.",
    default: 8081,
  }),
  routerVisibilityTimeoutSecs: int({
    key: "ROUTER_VISIBILITY_TIMEOUT_SECS",
    section: "Router",
    description: "How long a received message stays hidden from others; it is extended at a third of this.",
    default: 60,
    min: 3,
    max: 43_200,
    unit: "seconds",
    aliases: ["VISIBILITY_TIMEOUT"],
  }),
  routerDrainTimeoutSecs: int({
    key: "ROUTER_DRAIN_TIMEOUT_SECS",
    section: "Router",
    description: "How long calls under way may take to finish when the process is told to stop.",
    default: 30,
    min: 0,
    max: 3_600,
    unit: "seconds",
    aliases: ["FC_DRAIN_TIMEOUT_SECONDS"],
  }),
  routerQueueConnections: int({
    key: "ROUTER_QUEUE_CONNECTIONS",
    section: "Router",
    description:
      "How many questions for messages are kept open at a time for each lane of a queue on a broker. More helps " +
      "where a question is answered slowly, as on SQS; queues in a database make no use of it.",
    default: ({ get }) => (isSqs(get("queueUrls")) ? SQS_CONNECTIONS : 1),
    defaultText: "1; with SQS 4",
    min: 1,
    max: 64,
    unit: "questions",
  }),
};

/** Batches of ten, each in its own round trip of some ms: one question at a time is too slow for any load. */
const SQS_CONNECTIONS = 4;

function isSqs(queueUrls: unknown): boolean {
  return Array.isArray(queueUrls) && queueUrls.some((address) => /^(sqs|https?):/i.test(String(address)));
}

/** Pools and queues from elsewhere than a platform's database or API. */
export const configuredRouterSettings = {
  routerConfigUrls: urls({
    key: "ROUTER_CONFIG_URL",
    flag: "--config-url",
    section: "Router",
    description:
      "Where pools and queues are fetched from (`/api/config/router` of a platform), with FC_API_TOKEN. Of several " +
      "answers about one pool or queue the last one counts.",
    schemes: ["http", "https"],
    commas: true,
    default: NO_ITEMS,
    aliases: ["FLOWCATALYST_CONFIG_URL"],
  }),
  routerConfigIntervalSecs: int({
    key: "ROUTER_CONFIG_INTERVAL_SECS",
    section: "Router",
    description:
      "Pause between two fetches of FC_ROUTER_CONFIG_URL, and, if it is less than 5 s, between two looks at whether " +
      "the file of FC_ROUTER_POOLS_PATH has changed.",
    default: 300,
    min: 1,
    max: 86_400,
    unit: "seconds",
    aliases: ["FLOWCATALYST_CONFIG_INTERVAL"],
  }),
  routerPoolsPath: text({
    key: "ROUTER_POOLS_PATH",
    flag: "--pools",
    section: "Router",
    description:
      "A TOML or YAML file of pools (`[[pools]]`) and of the secrets that stand-alone messages are signed with " +
      "(`[secrets]`). It counts before FC_ROUTER_CONFIG_URL and before a platform.",
  }),
};

/** A router without a platform has no other place where its pool is described. */
export const defaultPoolSettings = {
  routerPoolConcurrency: int({
    key: "ROUTER_POOL_CONCURRENCY",
    section: "Router",
    description: "Calls at once in the default pool of a router without a platform.",
    default: 10,
    min: 1,
    max: 10_000,
    unit: "calls",
    aliases: ["POOL_CONCURRENCY"],
  }),
};
