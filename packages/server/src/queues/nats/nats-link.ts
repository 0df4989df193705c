import { readFile } from "node:fs/promises";
import {
  AuthorizationError,
  connect,
  createInbox,
  credsAuthenticator,
  nkeyAuthenticator,
  type Authenticator,
  type NatsConnection,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";
import { JetStreamApiError, jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { CodedError, describeError, type HealthResult } from "@flowcatalyst/foundation";
import type { BrokerQueueDeps } from "../broker-queue.ts";
import { natsQueueLimits, type NatsQueueSettings } from "./nats-queue-config.ts";
import { ReplyBox } from "./reply-box.ts";

/**
 * The connection to the server or cluster, which the library makes again for ever.
 *
 * While it is away nothing is handed to the library, because that would keep it in memory and forget it with the next
 * try: every call fails at once. What was under way when it went is told so (`onDown`). A server that went without a
 * word is noticed by pings within half a minute; until then calls fail by their own time limits.
 */
export class NatsLink {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly inbox: string;
  readonly replies: ReplyBox;
  readonly deps: BrokerQueueDeps;
  readonly where: string;
  #downSinceMs: number | null = null;
  #downReason = "";
  readonly #downListeners = new Set<() => void>();
  readonly #watching: Promise<void>;
  #isClosing = false;

  constructor(deps: BrokerQueueDeps, connected: Connected) {
    this.deps = deps;
    this.connection = connected.connection;
    this.manager = connected.manager;
    this.where = connected.where;
    this.inbox = createInbox();
    this.replies = new ReplyBox(this.connection, deps.clock, `${this.inbox}.r`);
    this.#watching = this.#watch();
  }

  get isUp(): boolean {
    return this.#downSinceMs === null && !this.connection.isClosed();
  }

  /** The most bytes of one message, headers included. */
  get maxPayloadBytes(): number {
    return this.connection.info?.max_payload ?? natsQueueLimits.maxMessageBytes;
  }

  /** Throws QUEUE_UNAVAILABLE while the connection is away. */
  requireUp(): void {
    if (!this.isUp) throw this.unavailable(this.#downReason);
  }

  unavailable(reason: string, cause?: unknown): CodedError {
    return new CodedError("QUEUE_UNAVAILABLE", { message: `NATS at ${this.where}: ${reason}`, cause });
  }

  /** What the server's API answers; QUEUE_UNAVAILABLE for everything that is not its own answer. */
  async call<Result>(work: () => Promise<Result>): Promise<Result> {
    this.requireUp();
    try {
      return await work();
    } catch (error) {
      throw isApiError(error) || error instanceof CodedError ? error : this.unavailable(describeError(error), error);
    }
  }

  onDown(listener: () => void): () => void {
    this.#downListeners.add(listener);
    return () => this.#downListeners.delete(listener);
  }

  probe(): HealthResult {
    if (this.isUp) return { status: "UP" };
    return { status: "DOWN", data: { reason: `NATS at ${this.where}: ${this.#downReason}` } };
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    // A server that has stopped reading is not waited for.
    const enough = new AbortController();
    const late = this.deps.clock.sleep(natsQueueLimits.closeWithinMs, enough.signal);
    await Promise.race([this.connection.close(), late]);
    enough.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { clock, logger } = this.deps;
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect") this.#down("the connection is lost, and being made again");
      else if (status.type === "reconnect") {
        const awayMs = Math.round(clock.monotonicMs() - (this.#downSinceMs ?? clock.monotonicMs()));
        this.#downSinceMs = null;
        logger.info({ where: this.where, awayMs }, "connected to NATS again");
      } else if (status.type === "error") {
        logger.warn({ where: this.where, error: status.error }, "NATS reports an error");
      }
    }
    this.#down("the connection is closed");
  }

  #down(reason: string): void {
    this.#downReason = reason;
    if (this.#downSinceMs === null) {
      this.#downSinceMs = this.deps.clock.monotonicMs();
      if (!this.#isClosing) this.deps.logger.warn({ where: this.where }, `NATS: ${reason}`);
    }
    this.replies.fail();
    for (const listener of this.#downListeners) listener();
  }
}

/** Answers of the server that say no, by its own numbers. */
export const natsApiCodes = {
  clusterNotAvailable: 10_008,
  clusterNotLeader: 10_009,
  streamOffline: 10_118,
  streamNotFound: 10_059,
  consumerNotFound: 10_014,
  messageNotFound: 10_037,
  consumerExists: 10_148,
  messageTooLarge: 10_054,
} as const;

export function isApiError(error: unknown): error is JetStreamApiError {
  return error instanceof JetStreamApiError;
}

/** A cluster that has no leader for it now. */
export function isPassing(error: unknown): boolean {
  const { clusterNotAvailable, clusterNotLeader, streamOffline } = natsApiCodes;
  return (
    isApiError(error) && [clusterNotAvailable, clusterNotLeader, streamOffline].some((code) => code === error.code)
  );
}

export function isMissing(error: unknown): boolean {
  const { streamNotFound, consumerNotFound, messageNotFound } = natsApiCodes;
  return isApiError(error) && [streamNotFound, consumerNotFound, messageNotFound].some((code) => code === error.code);
}

interface Connected {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** Hosts and ports, without what is secret. */
  readonly where: string;
}

/** Connects for the first time; whoever starts is told soon what is wrong. */
export async function connectNats(deps: BrokerQueueDeps, settings: NatsQueueSettings, name: string): Promise<NatsLink> {
  const where = settings.servers.join(", ");
  const options = await optionsOf(deps, settings, name);
  const untilMs = deps.clock.monotonicMs() + settings.connectWithinMs;
  for (;;) {
    try {
      const connection = await connect(options());
      try {
        requireVersion(connection, where);
        const manager = await jetstreamManager(connection, {
          checkAPI: false,
          timeout: natsQueueLimits.answerWithinMs,
        });
        return new NatsLink(deps, { connection, manager, where });
      } catch (error) {
        await connection.close();
        throw error;
      }
    } catch (error) {
      if (error instanceof CodedError) throw error;
      if (error instanceof AuthorizationError) {
        const message = `NATS at ${where} refuses the user, token or key of the queue's URL.`;
        throw new CodedError("CONFIG_INVALID", { message, cause: error });
      }
      if (deps.clock.monotonicMs() >= untilMs) {
        const message = `NATS at ${where} cannot be reached: ${describeError(error)}.`;
        throw new CodedError("QUEUE_UNAVAILABLE", { message, cause: error });
      }
      await deps.clock.sleep(natsQueueLimits.reconnectMinMs * 5);
    }
  }
}

function requireVersion(connection: NatsConnection, where: string): void {
  const version = connection.info?.version ?? "";
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const [oldestMajor, oldestMinor] = natsQueueLimits.oldestVersion;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    const message = `NATS at ${where} is version ${version}; use ${oldestMajor}.${oldestMinor} or newer.`;
    throw new CodedError("CONFIG_INVALID", { message });
  }
}

async function optionsOf(
  deps: BrokerQueueDeps,
  settings: NatsQueueSettings,
  name: string,
): Promise<() => NodeConnectionOptions> {
  const { credentials } = settings;
  const authenticator = await authenticatorOf(settings);
  const usesTls = settings.isTls || settings.caFile !== null || settings.certFile !== null;
  const tls = {
    ...(settings.caFile === null ? {} : { caFile: settings.caFile }),
    ...(settings.certFile === null ? {} : { certFile: settings.certFile }),
    ...(settings.keyFile === null ? {} : { keyFile: settings.keyFile }),
  };
  return () => ({
    servers: [...settings.servers],
    name: `flowcatalyst ${name}`,
    ...(credentials.kind === "user" ? { user: credentials.user, pass: credentials.password } : {}),
    ...(credentials.kind === "token" ? { token: credentials.token } : {}),
    ...(authenticator === null ? {} : { authenticator }),
    ...(usesTls ? { tls } : {}),
    maxReconnectAttempts: -1,
    // A password that is being changed is a reason to wait, not to give up.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: reconnectDelays(deps),
    timeout: natsQueueLimits.answerWithinMs,
    pingInterval: natsQueueLimits.pingEveryMs,
    noAsyncTraces: true,
  });
}

/** The library asks before each try and does not count them: a pause after the last try starts the growth anew. */
function reconnectDelays({ clock, random }: BrokerQueueDeps): () => number {
  const { reconnectMinMs, reconnectMaxMs } = natsQueueLimits;
  let firstMs = Number.NEGATIVE_INFINITY;
  let lastMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = clock.monotonicMs();
    if (nowMs - lastMs > reconnectMaxMs * 3) firstMs = nowMs;
    lastMs = nowMs;
    const growing = Math.max(reconnectMinMs, (nowMs - firstMs) / 4);
    return Math.min(reconnectMaxMs, growing) * (1 + random.next() / 4);
  };
}

async function authenticatorOf({ credentials }: NatsQueueSettings): Promise<Authenticator | null> {
  if (credentials.kind !== "creds" && credentials.kind !== "nkey") return null;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(credentials.file);
  } catch (error) {
    const message = `The file ${credentials.file} of the queue's URL for NATS cannot be read: ${describeError(error)}.`;
    throw new CodedError("CONFIG_INVALID", { message, cause: error });
  }
  if (credentials.kind === "creds") return credsAuthenticator(bytes);
  return nkeyAuthenticator(new TextEncoder().encode(new TextDecoder().decode(bytes).trim()));
}
