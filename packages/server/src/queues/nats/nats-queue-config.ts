import { CodedError } from "@flowcatalyst/foundation";

/** What a queue URL of NATS says. */
export interface NatsQueueSettings {
  /** `host:port`, as the library wants them. */
  readonly servers: readonly string[];
  readonly isTls: boolean;
  readonly credentials: NatsCredentials;
  /** Files for TLS; null: what the system trusts, and no certificate of our own. */
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  /** Name of the stream; that of the dead letters and all subjects follow from it. */
  readonly streamName: string;
  /** Null: 1 for a stream that is made, and left alone where it is there. The same for the other limits. */
  readonly replicas: number | null;
  readonly maxMessages: number | null;
  readonly maxBytes: number | null;
  readonly dedupWindowMs: number | null;
  /** Of one lane: messages received and not settled, delayed ones included. */
  readonly maxAckPending: number;
  /** A lane's consumer that nobody asks for so long is removed by the server. */
  readonly consumerIdleMs: number;
  readonly connectWithinMs: number;
}

export type NatsCredentials =
  | { readonly kind: "none" }
  | { readonly kind: "user"; readonly user: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "creds" | "nkey"; readonly file: string };

export const natsQueueDefaults = {
  streamName: "FLOWCATALYST",
  replicas: 1,
  /** As on PostgreSQL; publishing is refused beyond it. */
  maxMessages: 10_000_000,
  /** The disk, or the account, is the limit. */
  maxBytes: -1,
  dedupWindowMs: 120_000,
  /** Mostly delayed ones: what routers hold is bounded by their pools. */
  maxAckPending: 200_000,
  consumerIdleMs: 3_600_000,
  connectWithinMs: 30_000,
} as const;

export const natsQueueLimits = {
  /** The oldest version of the server that has what is used: durable consumers that go when idle, direct reads. */
  oldestVersion: [2, 9],
  maxMessageBytes: 1_048_576,
  /** Of the server's limit for one message, what headers may take: the id, and the reason of a dead letter. */
  headerMaxBytes: 16_384,
  /** Of a dead letter's headers, as they are written: what strangers made up may be long, and longer when escaped. */
  deadNameMaxBytes: 2_304,
  deadReasonMaxBytes: 10_000,
  /** When a message that can neither be read nor set aside comes again. */
  stuckDelayMs: 30_000,
  maxBatch: 1_000,
  maxDelayMs: 43_200_000,
  /** Beyond it the oldest dead letters go. */
  maxDeadLetters: 100_000,
  /** Messages and bytes published at once before their answers are waited for. */
  publishMaxMessages: 1_000,
  publishMaxBytes: 8_388_608,
  /** Bodies received at once. */
  receiveMaxBytes: 16_777_216,
  /** Whatever is asked of the server is answered by then, or counts as refused. */
  answerWithinMs: 5_000,
  /** A question of longer is asked again, so that one that the server forgot is not waited for in vain. */
  questionMaxMs: 30_000,
  /** How much later than the server's own limit a question is given up here. */
  questionSlackMs: 2_000,
  /** How long what began to come may take to end; then it is used as it is. */
  graceMs: 100,
  /** How soon a question that others are ahead of is asked again. */
  busyPauseMs: 20,
  /** How long what came too late is kept for the next question before it is given back. */
  keepMs: 1_000,
  /** How often it is looked whether a lane is full of unsettled messages, and told that it is. */
  roomLookEveryMs: 60_000,
  /** A full lane that gave nothing for so long is an error of who asks. */
  roomQuietMs: 3_000,
  /** Subjects that name no lane: of how many a message is set aside at each look. */
  straysAtOnce: 100,
  readyLanesMaxAgeMs: 1_000,
  /** Lanes beyond it that nobody waits for are forgotten here. */
  maxLanes: 20_000,
  /** An encoded lane is the name of a consumer and so of a folder of the server. */
  laneTokenMaxChars: 240,
  pingEveryMs: 10_000,
  reconnectMinMs: 100,
  reconnectMaxMs: 5_000,
  closeWithinMs: 2_000,
} as const;

const shape = /^(nats|tls):\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const hostShape = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/;
const nameShape = /^[A-Za-z0-9_-]{1,64}$/;
const defaultPort = 4222;

/** Throws CONFIG_INVALID with one line that never shows a password. */
export function parseNatsQueueUrl(url: string): NatsQueueSettings {
  const [, scheme, user, hosts, path, query] = shape.exec(url) ?? [];
  if (hosts === undefined) throw invalid("must look like nats://[user:password@]host:port[,host2:port2]/NAME");
  // What follows an @ that is not where it belongs may be half of a password, and is not to be shown.
  if (`${path ?? ""}${query ?? ""}`.includes("@")) {
    throw invalid("has an @ that does not end its user and password; write / ? # @ in them as %2F %3F %23 %40");
  }
  const parameters = new Parameters(query ?? "");
  const servers = hosts.split(",").map((host) => {
    if (!hostShape.test(host)) throw invalid(`names a server that is not host:port: ${host}`);
    return /:\d+$/.test(host) ? host : `${host}:${defaultPort}`;
  });
  const streamName = path === undefined || path === "" ? natsQueueDefaults.streamName : path;
  if (!nameShape.test(streamName)) {
    throw invalid(`names the stream ${JSON.stringify(streamName)}; use 1 to 64 letters, digits, - and _`);
  }
  const settings: NatsQueueSettings = {
    servers,
    isTls: scheme === "tls",
    credentials: credentialsOf(user ?? "", parameters),
    caFile: parameters.text("ca"),
    certFile: parameters.text("cert"),
    keyFile: parameters.text("key"),
    streamName,
    replicas: parameters.count("replicas", 1, 5),
    maxMessages: parameters.count("max_msgs", 1, Number.MAX_SAFE_INTEGER),
    maxBytes: parameters.count("max_bytes", 1, Number.MAX_SAFE_INTEGER),
    dedupWindowMs: inMs(parameters.count("dedup_window_secs", 1, 86_400)),
    maxAckPending: parameters.count("max_ack_pending", 1, 1_000_000) ?? natsQueueDefaults.maxAckPending,
    consumerIdleMs: inMs(parameters.count("consumer_idle_secs", 1, 604_800)) ?? natsQueueDefaults.consumerIdleMs,
    connectWithinMs: inMs(parameters.count("connect_secs", 1, 3_600)) ?? natsQueueDefaults.connectWithinMs,
  };
  parameters.refuseOthers();
  return settings;
}

function credentialsOf(userInfo: string, parameters: Parameters): NatsCredentials {
  const creds = parameters.text("creds");
  const nkey = parameters.text("nkey");
  const given = [userInfo === "" ? null : userInfo, creds, nkey].filter((each) => each !== null);
  if (given.length > 1) throw invalid("gives more than one of: user or token before the @, creds, nkey");
  if (creds !== null) return { kind: "creds", file: creds };
  if (nkey !== null) return { kind: "nkey", file: nkey };
  if (userInfo === "") return { kind: "none" };
  const colon = userInfo.indexOf(":");
  if (colon < 0) return { kind: "token", token: plain(userInfo) };
  return { kind: "user", user: plain(userInfo.slice(0, colon)), password: plain(userInfo.slice(colon + 1)) };
}

/** The parameters of the URL; each is taken once, and what is left over is a fault. */
class Parameters {
  readonly #left = new Map<string, string>();

  constructor(query: string) {
    for (const [name, value] of new URLSearchParams(query)) {
      if (this.#left.has(name)) throw invalid(`has ${name} twice`);
      this.#left.set(name, value);
    }
  }

  text(name: string): string | null {
    const value = this.#left.get(name) ?? null;
    this.#left.delete(name);
    if (value === "") throw invalid(`has an empty ${name}`);
    return value;
  }

  count(name: string, least: number, most: number): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw invalid(`has ${name}=${text}; use a whole number from ${least} to ${most}`);
    }
    return value;
  }

  refuseOthers(): void {
    const [name] = this.#left.keys();
    if (name !== undefined) throw invalid(`has the unknown parameter ${name}`);
  }
}

function inMs(seconds: number | null): number | null {
  return seconds === null ? null : seconds * 1_000;
}

function plain(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("has a % before the @ that is not followed by two hexadecimal digits");
  }
}

function invalid(what: string): CodedError {
  return new CodedError("CONFIG_INVALID", { message: `The queue's URL for NATS ${what}.` });
}
