import { createHash, timingSafeEqual } from "node:crypto";

/** Says whether an `Authorization` header carries one of the configured bearer tokens. */
export interface TokenGuard {
  /** False when no tokens are configured: then everybody may come in, and the server binds loopback only. */
  readonly required: boolean;
  /** Which token it was (from 0), or -1. Takes the same time whatever the header holds. */
  match(authorization: string | undefined): number;
}

/** Tokens are compared by their digests, all of them each time, so that time tells nothing about any of them. */
export function createTokenGuard(tokens: readonly string[]): TokenGuard {
  const digests = tokens.map(digestOf);
  return {
    required: digests.length > 0,
    match: (authorization) => {
      const token = bearerToken(authorization);
      const given = digestOf(token);
      let found = -1;
      for (const [index, digest] of digests.entries()) if (timingSafeEqual(digest, given)) found = index;
      // An empty token among the configured ones must not let in who brings none.
      return token === "" ? -1 : found;
    },
  };
}

function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) return "";
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? "";
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
