import type { Receipt } from "../../ports/queue.ts";

/**
 * `seq.consumer.claim.flags.behind`: one receive of one row. A consumer numbers its receives, and gets a new id when
 * its lease was lost, so no receipt ever means another receive. The flags save a read when the row is settled.
 */
export interface ReceiptParts {
  readonly seq: number;
  readonly consumerId: number;
  readonly claim: number;
  readonly grouped: boolean;
  /** Nobody else has a copy: settling it must survive a crash of the server. */
  readonly standalone: boolean;
  /** The first row of its group when it was received: nothing below is unsettled. Its own place if it has no group. */
  readonly floor: number;
}

const flagBits = { grouped: 1, standalone: 2 } as const;
const PARTS = 5;

export function formatReceipt(parts: ReceiptParts): Receipt {
  const flags = (parts.grouped ? flagBits.grouped : 0) + (parts.standalone ? flagBits.standalone : 0);
  return `${parts.seq}.${parts.consumerId}.${parts.claim}.${flags}.${parts.seq - parts.floor}` as Receipt;
}

/** Null: not a receipt of this queue. */
export function parseReceipt(receipt: string): ReceiptParts | null {
  const numbers = receipt.split(".").map(Number);
  if (numbers.length !== PARTS || !numbers.every((part) => Number.isSafeInteger(part) && part >= 0)) return null;
  const [seq = 0, consumerId = 0, claim = 0, flags = 0, behind = 0] = numbers;
  return {
    seq,
    consumerId,
    claim,
    grouped: (flags & flagBits.grouped) !== 0,
    standalone: (flags & flagBits.standalone) !== 0,
    floor: seq - behind,
  };
}
