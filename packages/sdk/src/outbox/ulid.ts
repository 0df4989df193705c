/**
 * Ids of rows: ULIDs, 26 characters of Crockford base32: 48 bits of milliseconds and 80 of chance.
 *
 * Rows of one statement may share `created_at`; their ids keep their order then. So each id of one generator is greater
 * than the one before: within a millisecond, and while the clock goes back, the 80 bits count up. Nothing has to be
 * agreed among the processes that write: two of them meet with a probability of 2^-80 in a millisecond.
 */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHANCE_CHARS = 16;
const TIME_CHARS = 10;

export interface UlidOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
}

export function createUlids({ now, randomBytes }: UlidOptions): () => string {
  let time = -1;
  let timeText = "";
  let digits: number[] = [];
  const enter = (nextTime: number): void => {
    time = nextTime;
    timeText = textOf(nextTime);
    // The high bit stays clear, so that counting up from here never runs out.
    digits = Array.from(randomBytes(CHANCE_CHARS), (byte, at) => byte & (at === 0 ? 15 : 31));
  };
  return () => {
    const current = Math.floor(now());
    if (current > time) enter(current);
    else countUp(digits);
    return timeText + digits.map((digit) => ALPHABET.charAt(digit)).join("");
  };
}

function countUp(digits: number[]): void {
  for (let at = digits.length - 1; at >= 0; at--) {
    const digit = ((digits[at] ?? 0) + 1) & 31;
    digits[at] = digit;
    if (digit !== 0) return;
  }
}

function textOf(time: number): string {
  let rest = time;
  let text = "";
  for (let at = 0; at < TIME_CHARS; at++) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
