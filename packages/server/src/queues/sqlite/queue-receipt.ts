import type { Receipt } from "../../ports/queue.ts";

/**
 * `seq.receiveCount.flags`: one receipt of one row. The count rises with every receive and a `seq` is never used twice,
 * so a receipt of an earlier receive, or of a row that is gone, can never mean another one. The flags save a read when
 * the row is settled.
 */
export interface ReceiptParts {
  readonly seq: number;
  readonly receiveCount: number;
  readonly grouped: boolean;
  readonly bodyApart: boolean;
}

const flagBits = { grouped: 1, bodyApart: 2 } as const;

export function formatReceipt(parts: ReceiptParts): Receipt {
  const flags = (parts.grouped ? flagBits.grouped : 0) + (parts.bodyApart ? flagBits.bodyApart : 0);
  return `${parts.seq}.${parts.receiveCount}.${flags}` as Receipt;
}

/** Null: not a receipt of this queue. */
export function parseReceipt(receipt: string): ReceiptParts | null {
  const first = receipt.indexOf(".");
  const second = receipt.indexOf(".", first + 1);
  if (first < 0 || second < 0) return null;
  const seq = Number(receipt.slice(0, first));
  const receiveCount = Number(receipt.slice(first + 1, second));
  const flags = Number(receipt.slice(second + 1));
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(receiveCount) || !Number.isSafeInteger(flags)) return null;
  return {
    seq,
    receiveCount,
    grouped: (flags & flagBits.grouped) !== 0,
    bodyApart: (flags & flagBits.bodyApart) !== 0,
  };
}
