import { callApi } from "./api.ts";
import type { ServerProcess } from "./server-process.ts";

/** Work for routers that stand by, and a record of which of them received when. */
export type Routers = Readonly<Record<string, ServerProcess>>;

/** What a router said of its last receive. */
export interface Receive {
  readonly router: string;
  readonly received: number;
  readonly lastReceivedAtMs: number;
}

export interface MessageLoad {
  /** How often each message came. */
  readonly arrived: ReadonlyMap<string, number>;
  readonly published: readonly string[];
  /** No more is published. */
  stop(): Promise<void>;
  /** The target is gone. */
  end(): Promise<void>;
}

const sampleEveryMs = 20;
const answerWithinMs = 1_000;
const publishEveryMs = 50;
const messagesAtOnce = 20;
const callTakesMs = 5;

/** Asks each router again and again what it has received and when; one that does not answer is passed over. */
export function sampleReceives(routers: Routers): { readonly samples: Receive[]; stop(): Promise<void> } {
  const samples: Receive[] = [];
  const stop = new AbortController();
  const sample = async (router: string, server: ServerProcess): Promise<void> => {
    while (!stop.signal.aborted) {
      const url = `${server.routerUrl}/monitoring/consumers`;
      const answer = await fetch(url, { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(answerWithinMs)]) })
        .then(
          (response) => response.json() as Promise<{ items: { received: number; lastReceivedAt: string | null }[] }>,
        )
        .catch(() => null);
      const [consumer] = answer?.items ?? [];
      if (consumer !== undefined && consumer.lastReceivedAt !== null) {
        const { received, lastReceivedAt } = consumer;
        samples.push({ router, received, lastReceivedAtMs: Date.parse(lastReceivedAt) });
      }
      await Bun.sleep(sampleEveryMs);
    }
  };
  const running = Object.entries(routers).map(([name, server]) => sample(name, server));
  return {
    samples,
    stop: async () => {
      stop.abort();
      await Promise.all(running);
    },
  };
}

/** A target that counts what came, and messages to it until told to stop. */
export function startMessageLoad(publishTo: ServerProcess): MessageLoad {
  const arrived = new Map<string, number>();
  const target = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      const { id } = (await request.json()) as { id: string };
      arrived.set(id, (arrived.get(id) ?? 0) + 1);
      await Bun.sleep(callTakesMs);
      return new Response("");
    },
  });
  const published: string[] = [];
  const stop = new AbortController();
  const publish = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const ids = Array.from({ length: messagesAtOnce }, (_, n) => `m${published.length + n}`);
      const url = `http://127.0.0.1:${target.port}/`;
      const messages = ids.map((id) => ({ id, target: url, payload: { id }, messageGroupId: `g${id.length}` }));
      await callApi(publishTo.routerUrl, { method: "POST", path: "/api/router/publish", body: { messages } });
      published.push(...ids);
      await Bun.sleep(publishEveryMs);
    }
  };
  const publishing = publish();
  return {
    arrived,
    published,
    stop: async () => {
      stop.abort();
      await publishing;
    },
    end: async () => {
      stop.abort();
      await publishing.catch(() => undefined);
      await target.stop(true);
    },
  };
}
