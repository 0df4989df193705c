/**
 * The NATS server of `flowcatalyst dev --queue nats`: found on the PATH, started as a child on loopback, with its
 * streams in FC_DATA_DIR/nats, and ended when the process ends.
 *
 * A server is ours by its name, which is made of the data directory; only such a one is used and ended. What may listen
 * on its port when the process starts, and what becomes of it:
 *
 * | there is | then |
 * |---|---|
 * | nobody | the server is started; without a `nats-server` on the PATH the start ends with one line |
 * | a NATS server of this data directory | it outlived a killed process: it is used, and ended at the stop |
 * | another NATS server, or something else | the start ends with one line: set NATS_URL, or free the port |
 *
 * Why a killed process leaves its server behind: nothing that works on every system ends a child with its parent, and
 * messages are no safer for its end. Two processes cannot use one server by this, because the data directory of the
 * embedded database has one owner; on PostgreSQL they share queue and server as they share the database, and the one
 * that did not start it loses it when the other stops, until it starts it again.
 *
 * While the process runs the service starts a server that has died again; the queue makes its connection anew. At the
 * stop the server is told after the queue was closed; one that does not end within 5 s is killed. A process that is
 * told to end at once tells it on its way out.
 */
import { CodedError, configInvalid, type Service } from "@flowcatalyst/foundation";
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { aborted } from "./http-service.ts";
import type { ProcessContext } from "./process-context.ts";

export interface LocalNats {
  readonly url: string;
  /** Keeps the server running. */
  readonly service: Service;
  /** After everybody who uses it has hung up. */
  close(): Promise<void>;
}

export interface LocalNatsPlace {
  readonly dataDir: string;
  readonly port: number;
}

const limits = { startWithinMs: 15_000, stopWithinMs: 5_000, pollMs: 25, greetingWithinMs: 2_000 } as const;
const executableName = "nats-server";
const nameLength = 12;

type Found =
  | { readonly kind: "nobody" }
  | { readonly kind: "nats"; readonly name: string }
  | { readonly kind: "other" };

/** Throws CONFIG_INVALID without a `nats-server`, PORT_IN_USE when the port is somebody else's. */
export async function startLocalNats(place: LocalNatsPlace, context: ProcessContext): Promise<LocalNats> {
  const server = new NatsChild(place, context);
  await server.start();
  const tellOnExit = (): void => server.tell();
  process.once("exit", tellOnExit);
  return {
    url: `nats://127.0.0.1:${place.port}`,
    service: { name: executableName, run: (signal) => server.keep(signal) },
    close: async () => {
      await server.stop();
      process.off("exit", tellOnExit);
    },
  };
}

class NatsChild {
  readonly #folder: string;
  readonly #port: number;
  readonly #name: string;
  readonly #executable: string | null;
  readonly #context: ProcessContext;
  #pid: number | null = null;
  /** Settles when the server has ended; of one that outlived its parent only asking tells. */
  #ended: Promise<unknown> | null = null;

  constructor({ dataDir, port }: LocalNatsPlace, context: ProcessContext) {
    this.#folder = resolve(dataDir, "nats");
    this.#port = port;
    const digest = createHash("sha256").update(this.#folder).digest("hex");
    this.#name = `flowcatalyst-${digest.slice(0, nameLength)}`;
    this.#executable = Bun.which(executableName, { PATH: context.env?.["PATH"] ?? "" });
    this.#context = context;
  }

  async start(): Promise<void> {
    const found = await whoListens(this.#port);
    if (found.kind === "nobody") return this.#launch();
    if (found.kind === "nats" && found.name === this.#name) {
      this.#pid = notedPid(this.#pidFile);
      this.#context.logger.info({ pid: this.#pid }, "The NATS server of an earlier process is used again");
      return;
    }
    const what = found.kind === "nats" ? `the NATS server ${found.name}, which is another one's` : "something else";
    const wayOut =
      found.kind === "nats" ? `set NATS_URL=nats://127.0.0.1:${this.#port} to use it` : "free it, or set NATS_URL";
    const message = `Port ${this.#port} is taken by ${what}; ${wayOut}`;
    throw new CodedError("PORT_IN_USE", { message });
  }

  /** Starts it again whenever it ends; the supervisor waits between two failures. */
  async keep(signal: AbortSignal): Promise<void> {
    if (this.#ended === null && this.#pid === null) await this.#launch();
    await Promise.race([aborted(signal), this.#untilEnded(signal)]);
    if (signal.aborted) return;
    this.#pid = null;
    this.#ended = null;
    throw new CodedError("QUEUE_UNAVAILABLE", { message: `nats-server has ended; ${this.#logAdvice}` });
  }

  async stop(): Promise<void> {
    const pid = this.#pid;
    if (pid === null) return;
    const { clock } = this.#context;
    const untilMs = clock.monotonicMs() + limits.stopWithinMs;
    signalQuietly(pid, "SIGTERM");
    while (isAlive(pid) && clock.monotonicMs() < untilMs) await clock.sleep(limits.pollMs);
    if (isAlive(pid)) signalQuietly(pid, "SIGKILL");
    await this.#ended;
    this.#pid = null;
  }

  tell(): void {
    if (this.#pid !== null) signalQuietly(this.#pid, "SIGTERM");
  }

  async #launch(): Promise<void> {
    if (this.#executable === null) {
      const reason =
        "is nats, and there is no nats-server on the PATH: install it (Debian and Homebrew have it by that name), or " +
        "set NATS_URL to a server that runs";
      throw configInvalid([{ key: "FC_QUEUE_URL", source: "nats", reason }]);
    }
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const config = join(this.#folder, "nats.conf");
    writeFileSync(config, this.#configuration(), { mode: 0o600 });
    const log = openSync(this.#logFile, "w", 0o600);
    try {
      // In a process group of its own: Ctrl-C is for us, and we still have messages to settle then.
      const child = Bun.spawn([this.#executable, "--config", config], {
        cwd: this.#folder,
        env: { PATH: this.#context.env?.["PATH"] ?? "" },
        stdio: ["ignore", log, log],
        detached: true,
      });
      child.unref();
      this.#pid = child.pid;
      this.#ended = child.exited;
      await this.#untilReady(child);
    } finally {
      closeSync(log);
    }
  }

  #configuration(): string {
    return [
      "host: 127.0.0.1",
      `port: ${this.#port}`,
      `server_name: ${this.#name}`,
      `pid_file: ${JSON.stringify(this.#pidFile)}`,
      `jetstream { store_dir: ${JSON.stringify(this.#folder)} }`,
      "",
    ].join("\n");
  }

  async #untilReady(child: Bun.Subprocess): Promise<void> {
    const { clock, stopping } = this.#context;
    const untilMs = clock.monotonicMs() + limits.startWithinMs;
    for (;;) {
      const found = await whoListens(this.#port);
      if (found.kind === "nats" && found.name === this.#name) return;
      if (child.exitCode !== null || child.signalCode !== null) {
        this.#pid = null;
        throw new CodedError("QUEUE_UNAVAILABLE", { message: `nats-server does not start; ${this.#logAdvice}` });
      }
      if (clock.monotonicMs() > untilMs || stopping?.aborted === true) {
        await this.stop();
        const message = `nats-server is not ready after ${limits.startWithinMs / 1_000} s; ${this.#logAdvice}`;
        throw new CodedError("QUEUE_UNAVAILABLE", { message });
      }
      await clock.sleep(limits.pollMs, stopping);
    }
  }

  /** The end of a child is told; that of a server which an earlier process started is looked for. */
  async #untilEnded(signal: AbortSignal): Promise<void> {
    if (this.#ended !== null) {
      await this.#ended;
      return;
    }
    const { clock } = this.#context;
    while (!signal.aborted && this.#pid !== null && isAlive(this.#pid)) await clock.sleep(adoptedLookMs, signal);
  }

  get #pidFile(): string {
    return join(this.#folder, "nats-server.pid");
  }

  get #logFile(): string {
    return join(this.#folder, "nats-server.log");
  }

  get #logAdvice(): string {
    return `its log is ${this.#logFile}`;
  }
}

const adoptedLookMs = 1_000;

/** NATS says what it is, in one line of JSON, to whoever connects. */
async function whoListens(port: number): Promise<Found> {
  const greeting = await greetingOf(port);
  if (greeting === null) return { kind: "nobody" };
  const info = /^INFO (\{.*)$/m.exec(greeting)?.[1];
  if (info === undefined) return { kind: "other" };
  return { kind: "nats", name: /"server_name":\s*"([^"]*)"/.exec(info)?.[1] ?? "" };
}

/** Null: nobody listens. Empty: somebody does, and says nothing for too long. */
function greetingOf(port: number): Promise<string | null> {
  const { promise, resolve: answer } = Promise.withResolvers<string | null>();
  const socket = connect({ port, host: "127.0.0.1", timeout: limits.greetingWithinMs });
  let text = "";
  let isConnected = false;
  const end = (): void => {
    answer(isConnected ? text : null);
    socket.destroy();
  };
  socket.once("connect", () => (isConnected = true));
  socket.on("data", (bytes) => {
    text += bytes.toString();
    if (text.includes("\n")) end();
  });
  for (const event of ["error", "close", "timeout"]) socket.once(event, end);
  return promise;
}

/** As the server has written it; null: it cannot be read, and the server is left running at the stop. */
function notedPid(path: string): number | null {
  try {
    const pid = Number(readFileSync(path, "utf8").trim());
    return Number.isSafeInteger(pid) && pid > 1 ? pid : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
