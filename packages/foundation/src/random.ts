/** Randomness, as everything that needs some is handed it. */
export interface Random {
  /** Uniform in [0, 1). Good for jitter and sampling, not for secrets. */
  next(): number;
  /** `length` bytes. Those of `systemRandom` are fit for secrets; those of `seededRandom` are not. */
  bytes(length: number): Uint8Array;
}

/** `crypto.getRandomValues` refuses more than this at once. */
const MAX_BYTES_PER_CALL = 65_536;

/** The randomness of the machine. */
export function systemRandom(): Random {
  return {
    next: () => Math.random(),
    bytes: (length) => {
      const bytes = new Uint8Array(length);
      for (let from = 0; from < length; from += MAX_BYTES_PER_CALL) {
        crypto.getRandomValues(bytes.subarray(from, Math.min(from + MAX_BYTES_PER_CALL, length)));
      }
      return bytes;
    },
  };
}

/**
 * A repeatable sequence for simulations and tests: equal seeds give equal sequences on every machine.
 *
 * Algorithm: sfc32 (Chris Doty-Humphrey, PractRand 2013), 128 bits of state: the low and high words of the seed, a
 * constant, and a counter from 1. The first 15 outputs are thrown away so that near seeds part ways.
 */
export function seededRandom(seed: number): Random {
  let a = seed | 0;
  let b = Math.trunc(seed / 2 ** 32) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const nextUint32 = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i++) nextUint32();
  return {
    // 53 bits, as Math.random has: 27 high bits of one output and 26 of the next.
    next: () => ((nextUint32() >>> 5) * 2 ** 26 + (nextUint32() >>> 6)) / 2 ** 53,
    bytes: (length) => {
      const bytes = new Uint8Array(length);
      for (let i = 0; i < length; i++) bytes[i] = nextUint32() & 0xff;
      return bytes;
    },
  };
}
