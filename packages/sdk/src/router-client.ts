/** Client of a router's own API (port 8081): the messages its queues have set aside. */
import type {
  DeadLetterList,
  DeadLetterListQuery,
  DeadLetterOut,
  SettleDeadLetters,
  SettleDeadLettersAnswer,
} from "@flowcatalyst/contracts";
import { HttpClient, type ClientOptions } from "./http-client.ts";

export interface RouterClient {
  readonly http: HttpClient;
  readonly deadLetters: {
    /** One page, newest first. */
    list(query?: DeadLetterListQuery): Promise<DeadLetterList>;
    /** With all of its body. `queue` is needed where the router has several. */
    get(key: string, queue?: string): Promise<DeadLetterOut>;
    /** Puts them on their queue again. With `all`, go on with `nextCursor` until there is none. */
    replay(which: SettleDeadLetters): Promise<SettleDeadLettersAnswer>;
    /** Removes them for good. */
    discard(which: SettleDeadLetters): Promise<SettleDeadLettersAnswer>;
  };
}

/** Makes a client of the router at `baseUrl`, e.g. `http://127.0.0.1:8081`. Nothing is sent until it is called. */
export function createRouterClient(options: ClientOptions): RouterClient {
  const http = new HttpClient(options);
  const settle = (act: "replay" | "discard", body: SettleDeadLetters): Promise<SettleDeadLettersAnswer> =>
    http.call({ method: "POST", path: `/api/router/dead-letters/${act}`, body });
  return {
    http,
    deadLetters: {
      list: (query = {}) => http.call({ method: "GET", path: "/monitoring/dead-letters", query: textsOf(query) }),
      get: (key, queue) => {
        const path = `/monitoring/dead-letters/${encodeURIComponent(key)}`;
        return http.call({ method: "GET", path, ...(queue === undefined ? {} : { query: { queue } }) });
      },
      replay: (which) => settle("replay", which),
      discard: (which) => settle("discard", which),
    },
  };
}

/** The schema turns texts into numbers, so its input may be anything there. */
function textsOf(query: DeadLetterListQuery): Record<string, string> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}
