// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type Send } from "../operation.ts";
import { itemsByCursor } from "../pages.ts";

export interface DeadLetter {
  /** Names it within its queue. */
  readonly key: string;
  readonly queue: string;
  readonly id: string | null;
  readonly poolCode: string | null;
  readonly reason: string;
  /** As it was published; in a list at most 5000 characters of it. */
  readonly body: string;
  readonly at: string;
}

export interface DeadLetterList {
  readonly items: readonly DeadLetter[];
  /** Absent on the last page. With a filter a page may be empty. */
  readonly nextCursor?: string;
  /** Queues of this page that cannot show theirs page by page: one look, in any order, and no further. */
  readonly unpaged: readonly string[];
}

export interface DeadLetterSettlement {
  readonly key: string;
  readonly queue: string;
  readonly id: string | null;
  /** MISSING: there is no such letter any more. UNREADABLE, REFUSED: it stays where it is. */
  readonly status: "REPLAYED" | "DISCARDED" | "MISSING" | "UNREADABLE" | "REFUSED";
  readonly code?: string;
  readonly error?: string;
}

export type SettleDeadLetters =
  | {
      readonly keys: readonly string[];
      readonly queue?: string;
      /** Only say what would happen. */
      readonly dryRun?: boolean;
    }
  | {
      readonly all: true;
      readonly queue?: string;
      /** Only those of this pool. */
      readonly poolCode?: string;
      /** Only those with this in the reason. */
      readonly reason?: string;
      readonly limit?: number;
      /** `nextCursor` of the page before. */
      readonly cursor?: string;
      /** Only say what would happen. */
      readonly dryRun?: boolean;
    };

export interface SettleDeadLettersAnswer {
  readonly dryRun: boolean;
  /** How many were, or would be, replayed or discarded. */
  readonly count: number;
  /** By position of the keys. */
  readonly results: readonly DeadLetterSettlement[];
  /** With `all`: there may be more, go on with it. */
  readonly nextCursor?: string;
  /** As in the list: queues of which there may be more behind these. */
  readonly unpaged: readonly string[];
}

/**
 * Query of `GET /monitoring/dead-letters`: Messages that were set aside, newest first, each with its
 * reason.
 */
export interface ListDeadLettersQuery {
  readonly limit?: number;
  readonly cursor?: string;
  readonly queue?: string;
  readonly poolCode?: string;
  readonly reason?: string;
}

/** Query of `GET /monitoring/dead-letters/{key}`: One message that was set aside, with all of its body. */
export interface GetDeadLetterQuery {
  readonly queue?: string;
}

/** Operations on `deadLetters`, one method each. */
export interface DeadLettersApi {
  /** Messages that were set aside, newest first, each with its reason. `GET /monitoring/dead-letters` */
  list(query?: ListDeadLettersQuery, options?: CallOptions): Promise<DeadLetterList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListDeadLettersQuery, options?: CallOptions): AsyncGenerator<DeadLetter, void, undefined>;

  /** One message that was set aside, with all of its body. `GET /monitoring/dead-letters/{key}` */
  get(key: string, query?: GetDeadLetterQuery, options?: CallOptions): Promise<DeadLetter>;

  /**
   * Put dead letters on their queue again, and remove them from where they are.
   * `POST /api/router/dead-letters/replay`
   */
  replay(body: SettleDeadLetters, options?: CallOptions): Promise<SettleDeadLettersAnswer>;

  /** Remove dead letters for good. `POST /api/router/dead-letters/discard` */
  discard(body: SettleDeadLetters, options?: CallOptions): Promise<SettleDeadLettersAnswer>;
}

/** Makes them of something that sends. */
export function deadLettersApi(send: Send): DeadLettersApi {
  const api: DeadLettersApi = {
    list: (query, options) => send({ method: "GET", path: "/monitoring/dead-letters", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    get: (key, query, options) =>
      send({ method: "GET", path: `/monitoring/dead-letters/${pathSegment(key)}`, query: { ...query }, options }),
    replay: (body, options) => send({ method: "POST", path: "/api/router/dead-letters/replay", body, options }),
    discard: (body, options) => send({ method: "POST", path: "/api/router/dead-letters/discard", body, options }),
  };
  return api;
}
