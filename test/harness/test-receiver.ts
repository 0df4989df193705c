import { Webhook } from "standardwebhooks";
import { eventually } from "./eventually.ts";

/** One webhook as it came. */
export interface Arrival {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * A webhook receiver in the test's own process that keeps what came, by path. It answers 200 unless told otherwise;
 * signatures are checked by the test, with the reference library.
 */
export interface TestReceiver {
  readonly url: string;
  arrivals(path: string): readonly Arrival[];
  /** Waits until this many have come there. */
  received(path: string, count: number): Promise<readonly Arrival[]>;
  /** What is answered there from now on. */
  answer(path: string, answer: (arrival: Arrival) => Response | Promise<Response>): void;
  stop(): Promise<void>;
}

export function startTestReceiver(): TestReceiver {
  const all: Arrival[] = [];
  const answers = new Map<string, (arrival: Arrival) => Response | Promise<Response>>();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: async (request) => {
      const path = new URL(request.url).pathname;
      const arrival = { path, headers: Object.fromEntries(request.headers), body: await request.text() };
      all.push(arrival);
      return (await answers.get(path)?.(arrival)) ?? new Response("");
    },
  });
  const arrivals = (path: string): readonly Arrival[] => all.filter((arrival) => arrival.path === path);
  return {
    url: `http://127.0.0.1:${server.port}`,
    arrivals,
    received: (path, count) =>
      eventually(`${count} arrivals at ${path}`, () => {
        const found = arrivals(path);
        return found.length >= count ? found : undefined;
      }),
    answer: (path, answer) => void answers.set(path, answer),
    stop: () => server.stop(true),
  };
}

/** Throws unless the reference library of Standard Webhooks takes the signature; gives the payload. */
export function verified(arrival: Arrival, secret: string): unknown {
  return new Webhook(secret).verify(arrival.body, { ...arrival.headers });
}
