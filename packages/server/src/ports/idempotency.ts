/** Remembers the answer to a POST under its `Idempotency-Key` for 24 h. */
export interface IdempotencyStore {
  /**
   * `fresh`: reserved for the caller, who must `complete` or `forget` it. `repeat`: the first answer.
   * `conflict`: same key, another body. `inProgress`: the first request has not been answered yet.
   */
  begin(key: string, bodyDigest: string, nowMs: number): Promise<IdempotencyState>;
  complete(key: string, answer: StoredAnswer): Promise<void>;
  forget(key: string): Promise<void>;
}

export type IdempotencyState =
  | { readonly kind: "fresh" }
  | { readonly kind: "repeat"; readonly answer: StoredAnswer }
  | { readonly kind: "conflict" }
  | { readonly kind: "inProgress" };

export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
