import type pg from "pg";
import { backoffMs, systemRandom, type Clock, type Logger } from "@flowcatalyst/foundation";
import type { PostgresSession } from "./postgres-database.ts";
import { statement } from "./statement.ts";

/**
 * Wake-ups between processes by LISTEN and NOTIFY: they carry no data, and losing one costs a poll interval.
 *
 * Sending. A NOTIFY inside a transaction takes a lock that all notifying transactions of the server share until they
 * have committed, so wake-ups go in statements of their own, one at a time and at most one per channel in 5 ms. Whoever
 * listens in this process is woken at once.
 *
 * Receiving. One connection, made with the first `listen`, made again with backoff for ever when it breaks; then
 * everybody is woken, because something may have been missed.
 */
export interface Notifications {
  listen(channel: string, wake: () => void): () => void;
  notify(channel: string): void;
  close(): Promise<void>;
}

export interface NotificationsDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly connect: () => pg.Client;
  readonly session: PostgresSession;
}

const notifyIntervalMs = 5;
const reconnect = { baseMs: 200, capMs: 5_000 } as const;
/** An idle connection whose other end has vanished is only found by using it. */
const aliveCheckMs = 15_000;

const sendNotification = statement<never, [channels: string, sender: string]>(
  "SELECT pg_notify(channel, $2) FROM json_array_elements_text($1::json) AS c (channel)",
);

export function createNotifications(deps: NotificationsDeps): Notifications {
  const sender = String(systemRandom().next());
  const listeners = new Map<string, Set<() => void>>();
  const outgoing = new Set<string>();
  let sending = false;
  let link: Link | null = null;
  let closed = false;

  const wakeChannel = (channel: string): void => {
    for (const wake of listeners.get(channel) ?? []) wake();
  };

  const send = async (): Promise<void> => {
    sending = true;
    while (outgoing.size > 0 && !closed) {
      const channels = [...outgoing];
      outgoing.clear();
      // A wake-up that cannot be sent is not missed by anybody for longer than a poll interval.
      await deps.session.query(sendNotification, [JSON.stringify(channels), sender]).catch(() => undefined);
      await deps.clock.sleep(notifyIntervalMs);
    }
    sending = false;
  };

  return {
    listen: (channel, wake) => {
      const entry = (): void => wake();
      const set = listeners.get(channel) ?? new Set();
      listeners.set(channel, set);
      set.add(entry);
      link ??= createLink({
        ...deps,
        channels: () => [...listeners.keys()],
        heard: (from, payload) => {
          if (payload !== sender) wakeChannel(from);
        },
        connected: () => {
          for (const known of listeners.keys()) wakeChannel(known);
        },
      });
      if (set.size === 1) link.follow(channel);
      return () => set.delete(entry);
    },
    notify: (channel) => {
      wakeChannel(channel);
      outgoing.add(channel);
      if (!sending && !closed) void send();
    },
    close: async () => {
      closed = true;
      await link?.close();
    },
  };
}

interface Link {
  follow(channel: string): void;
  close(): Promise<void>;
}

interface LinkDeps extends NotificationsDeps {
  readonly channels: () => readonly string[];
  readonly heard: (channel: string, payload: string | undefined) => void;
  readonly connected: () => void;
}

/** Channels are names of this code, never input. */
function listenTo(client: pg.Client, channel: string): Promise<unknown> {
  return client.query(`LISTEN "${channel}"`);
}

function createLink(deps: LinkDeps): Link {
  const stop = new AbortController();
  const random = systemRandom();
  let current: pg.Client | null = null;

  const hold = async (client: pg.Client): Promise<void> => {
    const lost = new Promise<void>((resolve) => {
      client.on("error", () => resolve());
      client.on("end", () => resolve());
    });
    await client.connect();
    client.on("notification", ({ channel, payload }) => deps.heard(channel, payload));
    for (const channel of deps.channels()) await listenTo(client, channel);
    current = client;
    deps.connected();
    const ended = Promise.race([lost.then(() => true), aborted(stop.signal).then(() => true)]);
    while (!(await Promise.race([ended, deps.clock.sleep(aliveCheckMs, stop.signal).then(() => false)]))) {
      await client.query("SELECT 1");
    }
  };

  const run = async (): Promise<void> => {
    for (let failed = 0; !stop.signal.aborted; failed++) {
      const client = deps.connect();
      // Before it is connected, an error ends the attempt below; unheard it would end the process.
      client.on("error", () => undefined);
      try {
        await hold(client);
        failed = 0;
      } catch (error) {
        deps.logger.debug({ error }, "wake-ups from the database are interrupted; polling goes on");
      }
      current = null;
      void client.end().catch(() => undefined);
      await deps.clock.sleep(backoffMs(reconnect, failed, random), stop.signal);
    }
  };

  const running = run();
  return {
    follow: (channel) => {
      if (current !== null) void listenTo(current, channel).catch(() => undefined);
    },
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
