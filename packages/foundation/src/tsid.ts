import type { Clock } from "./clock.ts";
import { CodedError } from "./coded-error.ts";

/**
 * Time-sorted ids.
 *
 * 64 bits: 42 of milliseconds since 2020-01-01T00:00:00Z (the usual epoch of TSIDs; it lasts to 2159), 10 of node and
 * 12 of counter, written as 13 characters of Crockford base32 in upper case. Text order is numeric order.
 *
 * Guarantees of one generator: every id is greater than the one before. More than 4,096 ids in a millisecond borrow
 * from the next one, and a wall clock that goes back is waited out on the last millisecond seen: neither waits nor
 * repeats. Two generators never meet as long as their node numbers differ. A generator that takes over a node number
 * starts after the last millisecond its predecessor may have used: pass that as `notBeforeMs`.
 *
 * An id is made about three times per delivered event, so the ten characters that depend on time and node are cached,
 * and the three that depend on the counter come from a table.
 */
export type TsidGenerator = { readonly next: () => string };

export type TsidOptions = {
  readonly clock: Pick<Clock, "now">;
  /** 0 to 1023, unique among live processes. */
  readonly node: number;
  /** No id is stamped earlier than this, in ms since the Unix epoch. */
  readonly notBeforeMs?: number;
};

/** 2020-01-01T00:00:00Z in ms since the Unix epoch. */
export const TSID_EPOCH_MS = Date.UTC(2020, 0, 1);
export const TSID_MAX_NODE = 1023;

const MAX_TIME = 2 ** 42 - 1;
const COUNTERS_PER_MS = 4096;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TSID_SHAPE = /^[0-9A-F][0-9A-HJKMNP-TV-Z]{12}$/;

/** Throws INTERNAL for a node number outside 0 to 1023: it comes from our own lease, never from a user. */
export function createTsidGenerator(options: TsidOptions): TsidGenerator {
  const { clock, node } = options;
  if (!Number.isInteger(node) || node < 0 || node > TSID_MAX_NODE) {
    throw new CodedError("INTERNAL", { context: { reason: "TSID node out of range", node } });
  }
  const suffixes = suffixTable(node);
  let time = Math.max(0, (options.notBeforeMs ?? TSID_EPOCH_MS) - TSID_EPOCH_MS);
  let prefix = timePrefix(time, node);
  let counter = 0;
  const enter = (nextTime: number): void => {
    time = Math.min(nextTime, MAX_TIME);
    prefix = timePrefix(time, node);
    counter = 0;
  };
  return {
    next() {
      const nowTime = clock.now() - TSID_EPOCH_MS;
      if (nowTime > time) enter(Math.floor(nowTime));
      else if (counter === COUNTERS_PER_MS) enter(time + 1);
      return prefix + suffixes[counter++];
    },
  };
}

/** Whether the text has the form of an id made here (without a type prefix). */
export function isTsid(text: string): boolean {
  return TSID_SHAPE.test(text);
}

/** When an id was made, in ms since the Unix epoch. Undefined for a text that is no TSID. */
export function tsidTimeMs(id: string): number | undefined {
  if (!isTsid(id)) return undefined;
  let high = 0;
  for (let i = 0; i < 9; i++) high = high * 32 + ALPHABET.indexOf(id.charAt(i));
  // The first nine characters hold 44 bits: 42 of time and the two high ones of the node.
  return Math.floor(high / 4) + TSID_EPOCH_MS;
}

/** The lowest id any generator can give in that millisecond; before 2020 the lowest of all. Bounds of time in ids. */
export function lowestTsidAt(timeMs: number): string {
  const time = Math.min(Math.max(0, Math.floor(timeMs) - TSID_EPOCH_MS), MAX_TIME);
  return `${timePrefix(time, 0)}000`;
}

/** Ten characters: 42 bits of time and the high 7 of the node, which with one leading zero bit are 50. */
function timePrefix(time: number, node: number): string {
  // Divided rather than shifted: bit operators end at 32 bits.
  let rest = time * 4 + (node >>> 8);
  let text = ALPHABET.charAt((node >>> 3) & 31);
  for (let i = 0; i < 9; i++) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** Three characters per counter: the low 3 bits of the node and the 12 of the counter. */
function suffixTable(node: number): readonly string[] {
  return Array.from({ length: COUNTERS_PER_MS }, (_, counter) => {
    const bits = ((node & 7) << 12) | counter;
    return ALPHABET.charAt(bits >>> 10) + ALPHABET.charAt((bits >>> 5) & 31) + ALPHABET.charAt(bits & 31);
  });
}
