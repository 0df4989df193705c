import type { Receipt } from "../../ports/queue.ts";

/**
 * A receipt is the subject on which the server hears of one delivery:
 *
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<stream place>.<consumer place>.<published, ns>.<pending>`
 *
 * Servers of a domain say `$JS.ACK.<domain>.<account>.…` and may add a token at the end.
 */
export interface ReceiptParts {
  readonly consumer: string;
  readonly receiveCount: number;
  /** Place in the stream: the same for all deliveries of a message. */
  readonly seq: number;
  readonly publishedAtMs: number;
}

const NS_DIGITS_PER_MS = 6;

/** Null: not a receipt. */
export function parseReceipt(receipt: Receipt | string): ReceiptParts | null {
  const tokens = receipt.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return null;
  const at = tokens.length === 9 ? 2 : 4;
  const consumer = tokens[at + 1];
  const receiveCount = Number(tokens[at + 2]);
  const seq = Number(tokens[at + 3]);
  // More digits than a number holds exactly: cut before it is read.
  const publishedAtMs = Number((tokens[at + 5] ?? "").slice(0, -NS_DIGITS_PER_MS));
  if (consumer === undefined || !isCount(receiveCount) || !isCount(seq) || !isCount(publishedAtMs)) return null;
  return { consumer, receiveCount, seq, publishedAtMs };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
