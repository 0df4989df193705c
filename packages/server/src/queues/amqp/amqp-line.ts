import {
  backoffMs,
  CodedError,
  describeError,
  type Clock,
  type HealthResult,
  type Logger,
  type Random,
} from "@flowcatalyst/foundation";
import type { Socket } from "node:net";
import rhea, { type Connection, type EventContext, type Session } from "rhea";
import type { AmqpAddress } from "./amqp-address.ts";
import { brokerOf, type Broker } from "./amqp-broker.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import { openGatheringSocket } from "./gathering-socket.ts";

export interface AmqpLineDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** One connection, from its open frame until it is lost. */
export class LiveConnection {
  readonly broker: Broker;
  readonly #connection: Connection;
  readonly #listeners = new Set<() => void>();
  #reason: string | null = null;

  constructor(connection: Connection, broker: Broker) {
    this.#connection = connection;
    this.broker = broker;
  }

  get isLost(): boolean {
    return this.#reason !== null;
  }

  /** Each link has a session of its own: what a broker cannot do it answers by ending the session. */
  createSession(): Session {
    const session = this.#connection.create_session();
    session.begin();
    return session;
  }

  onLost(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** All that was under way on it is over. */
  lose(reason: string): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}

/**
 * A connection to the broker that is made again for ever.
 *
 * States: connecting, live, lost (waits for its next try), closed. The library's own way of connecting again is off: it
 * would attach old links to a new connection, whose messages are others. Here each connection is a new one, and whoever
 * had a link on the last one is told.
 */
export class AmqpLine {
  readonly #deps: AmqpLineDeps;
  readonly #address: AmqpAddress;
  readonly #purpose: string;
  readonly #closing = new AbortController();
  #live: LiveConnection | null = null;
  #hangUp: () => void = () => undefined;
  #downReason = "not connected yet";
  #running: Promise<void> = Promise.resolve();

  constructor(deps: AmqpLineDeps, address: AmqpAddress, purpose: string) {
    this.#deps = deps;
    this.#address = address;
    this.#purpose = purpose;
  }

  get place(): string {
    return `${this.#address.host}:${this.#address.port}`;
  }

  /** Tries for a while, as brokers and their clients are often started together; then it throws one clear line. */
  async open(): Promise<LiveConnection> {
    const { clock, random } = this.#deps;
    const untilMs = clock.monotonicMs() + limits.firstConnectMs;
    for (let tries = 0; ; tries++) {
      try {
        const live = await this.#connect();
        this.#running = this.#keepConnected();
        return live;
      } catch (error) {
        const refused = error instanceof AccessRefused;
        if (refused || clock.monotonicMs() >= untilMs || this.#closing.signal.aborted) {
          throw new CodedError(refused ? "CONFIG_INVALID" : "QUEUE_UNAVAILABLE", {
            message: `the broker at ${this.place} cannot be used: ${describeError(error)}`,
          });
        }
        await clock.sleep(backoffMs(reconnectPolicy, tries, random), this.#closing.signal);
      }
    }
  }

  /** Throws while the broker is away. */
  require(): LiveConnection {
    if (this.#live !== null) return this.#live;
    throw new CodedError("QUEUE_UNAVAILABLE", { message: this.downText });
  }

  get live(): LiveConnection | null {
    return this.#live;
  }

  probe(): HealthResult {
    return this.#live === null ? { status: "DOWN", data: { reason: this.downText } } : { status: "UP" };
  }

  /** The broker does not do what it must: the connection is of no use, and made anew. */
  giveUp(reason: string): void {
    this.#downReason = reason;
    this.#hangUp();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.giveUp("closed");
    await this.#running;
  }

  get downText(): string {
    return `the broker at ${this.place} is away: ${this.#downReason}`;
  }

  async #keepConnected(): Promise<void> {
    const { clock, random, logger } = this.#deps;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#untilLost();
      if (signal.aborted) return;
      logger.warn({ broker: this.place, reason: this.#downReason }, `the ${this.#purpose} connection is lost`);
      for (let tries = 0; this.#live === null && !signal.aborted; tries++) {
        await clock.sleep(backoffMs(reconnectPolicy, tries, random), signal);
        if (signal.aborted) return;
        try {
          await this.#connect();
          logger.info({ broker: this.place }, `the ${this.#purpose} connection is there again`);
        } catch (error) {
          this.#downReason = describeError(error);
        }
      }
    }
  }

  #untilLost(): Promise<void> {
    const live = this.#live;
    if (live === null || live.isLost) return Promise.resolve();
    return new Promise((resolve) => live.onLost(resolve));
  }

  async #connect(): Promise<LiveConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<LiveConnection>();
    const address = this.#address;
    const container = rhea.create_container({
      id: `flowcatalyst-${Buffer.from(this.#deps.random.bytes(9)).toString("hex")}`,
    });
    let socket: Socket | null = null;
    let live: LiveConnection | null = null;
    const end = (reason: string, fault: Error = new Error(reason)): void => {
      reject(fault);
      socket?.destroy();
      if (live === null) return;
      if (this.#live === live) this.#live = null;
      if (!live.isLost) this.#downReason = reason;
      live.lose(reason);
    };
    const connection = container.create_connection({
      host: address.host,
      port: address.port,
      reconnect: false,
      idle_time_out: address.heartbeatSeconds * 1_000,
      // An unnamed user goes through SASL as ANONYMOUS: brokers refuse who goes by it.
      username: address.user ?? "anonymous",
      ...(address.password === null ? {} : { password: address.password }),
      connection_details: () => ({
        host: address.host,
        port: address.port,
        connect: (...[, , , connected]: [unknown, unknown, unknown, () => void]): Socket => {
          socket = openGatheringSocket(address, connected);
          socket.on("close", () => end("the connection was closed"));
          return socket;
        },
      }),
    });
    connection.on("connection_open", () => {
      live = new LiveConnection(connection, brokerOf(address, connection.properties?.["product"]));
      this.#live = live;
      this.#hangUp = () => end(this.#downReason);
      // Closed while it was on its way: nobody will use it.
      if (this.#closing.signal.aborted) end("closed");
      resolve(live);
    });
    connection.on("connection_error", (context: EventContext) =>
      end(...refusal(context.connection.error ?? context.error)),
    );
    connection.on("connection_close", () => end("the broker closed the connection"));
    connection.on("disconnected", (context: EventContext) => end(errorText(context.error) ?? "the connection broke"));
    connection.on("protocol_error", (error: unknown) => end(`broken protocol: ${describeError(error)}`));
    connection.on("error", (error: unknown) => end(describeError(error)));
    container.on("error", (error: unknown) => end(describeError(error)));
    connection.connect();
    const cancelTimer = this.#deps.clock.setTimer(limits.connectMs, () => end("it does not answer"));
    try {
      return await promise;
    } finally {
      cancelTimer();
    }
  }
}

/** What no further try would change: the account. */
class AccessRefused extends Error {}

const reconnectPolicy = { baseMs: limits.reconnectBaseMs, capMs: limits.reconnectCapMs, jitter: "equal" } as const;

function refusal(error: unknown): [reason: string, fault: Error] {
  const reason = errorText(error) ?? "the broker refused the connection";
  const condition = typeof error === "object" && error !== null && "condition" in error ? String(error.condition) : "";
  const isRefused = condition === "amqp:unauthorized-access";
  return [reason, isRefused ? new AccessRefused(`the account is refused (${reason})`) : new Error(reason)];
}

/** What AMQP or the system says of a failure. */
export function errorText(error: unknown): string | null {
  if (typeof error !== "object" || error === null) return null;
  const parts = ["condition", "description"].map((key): unknown => Reflect.get(error, key));
  const text = parts.filter((part) => typeof part === "string" && part !== "").join(": ");
  return text === "" ? describeError(error) : text;
}
