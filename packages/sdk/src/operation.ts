/** What the generated methods say to the client that sends them. */

/** How one call is made. */
export interface CallOptions {
  /** Ends the call; it throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Sent besides the client's own. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How a change is made. */
export interface ChangeOptions extends CallOptions {
  /** The `version` the change is based on: if there is a newer one, it is refused with status 412. */
  readonly ifMatch?: number;
}

/** How something is made or done that must not happen twice. */
export interface KeyedOptions extends CallOptions {
  /**
   * The same key and body within 24 h is answered with the first answer. Each call has one of its own unless it is
   * given, so that its repeats are harmless.
   */
  readonly idempotencyKey?: string;
}

/** How a change is made that must not happen twice. */
export interface KeyedChangeOptions extends ChangeOptions, KeyedOptions {}

/** What a member of a query may be. */
export type QueryValue = string | number | boolean | null | undefined;

/** An operation of the API, ready to be sent. */
export interface Operation {
  /** In upper case. */
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its parameters filled in. */
  readonly path: string;
  /** Members that are undefined are left out; arrays are sent as repeats. */
  readonly query?: Readonly<Record<string, QueryValue | readonly QueryValue[]>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** It takes an `Idempotency-Key`. */
  readonly keyed?: boolean;
  /** How this call is made. */
  readonly options?: KeyedChangeOptions | undefined;
}

/** Sends an operation and gives the parsed answer. */
export type Send = <Answer>(operation: Operation) => Promise<Answer>;

/** A text as one segment of a path. Throws for an empty one and for dots, which would name something else. */
export function pathSegment(text: string): string {
  if (text === "") throw new TypeError("an id is empty: give the id of what is meant");
  // Parsers of URLs take these for steps in the path, also when they are encoded.
  if (text === "." || text === "..") throw new TypeError(`no id is ${text}: give the id of what is meant`);
  return encodeURIComponent(text);
}
