/**
 * Reads request bodies without ever holding more than the process can bear.
 *
 * Two limits. One body may have `bodyMaxBytes`: a declared length above it is refused before a byte is read, a body
 * without a length as soon as it passes the limit, and what is left is not read. All bodies being read at one time may
 * hold `budgetMaxBytes` together: a request that would pass that is refused with OVERLOADED (503 and Retry-After), so a
 * crowd of uploads costs bounded memory. Small bodies of a known length are taken in one piece, because most are.
 *
 * Bytes count from when they arrive (a small body: from when its reading begins) until the reading ends, whatever its
 * end is. What the handler makes of the text is bounded by the batch limits and the append buffer.
 */

import { CodedError } from "@flowcatalyst/foundation";

export interface BodyReaderConfig {
  readonly bodyMaxBytes: number;
  readonly budgetMaxBytes: number;
}

export const bodyReaderDefaults: BodyReaderConfig = { bodyMaxBytes: 34_603_008, budgetMaxBytes: 67_108_864 };

export interface BodyReader {
  /** The body as text. Throws PAYLOAD_TOO_LARGE, OVERLOADED, MALFORMED_JSON (not UTF-8), UNSUPPORTED_MEDIA_TYPE. */
  text(request: Request): Promise<string>;
  /** The body as it came; the same faults but for the encoding. */
  bytes(request: Request): Promise<Uint8Array>;
  /** Bytes of bodies being read now. */
  readonly heldBytes: number;
}

/**
 * Bodies up to this size with a declared length are read in one piece. They count before they have arrived, so it is
 * small: clients that declare a body and never send it must not fill the budget.
 */
const wholeReadMaxBytes = 65_536;
const retryAfterSeconds = 1;

export function createBodyReader(config: BodyReaderConfig = bodyReaderDefaults): BodyReader {
  return new BudgetedBodyReader(config);
}

class BudgetedBodyReader implements BodyReader {
  readonly #config: BodyReaderConfig;
  #heldBytes = 0;

  constructor(config: BodyReaderConfig) {
    this.#config = config;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  async text(request: Request): Promise<string> {
    const bytes = await this.bytes(request);
    try {
      // A new decoder per call keeps nothing between bodies; making one costs less than a microsecond.
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch (cause) {
      throw new CodedError("MALFORMED_JSON", { message: "The body is not valid UTF-8.", cause });
    }
  }

  async bytes(request: Request): Promise<Uint8Array> {
    const encoding = request.headers.get("content-encoding");
    if (encoding !== null && encoding !== "identity") {
      throw new CodedError("UNSUPPORTED_MEDIA_TYPE", { message: `Content-Encoding ${encoding} is not supported.` });
    }
    const declared = declaredBytes(request);
    if (declared !== null && declared >= this.#config.bodyMaxBytes) throw this.#tooLarge();
    if (declared !== null && declared <= wholeReadMaxBytes) return this.#readWhole(request, declared);
    return this.#readInPieces(request);
  }

  async #readWhole(request: Request, bytes: number): Promise<Uint8Array> {
    this.#hold(bytes);
    try {
      return new Uint8Array(await request.arrayBuffer());
    } catch (cause) {
      throw incomplete(cause);
    } finally {
      this.#heldBytes -= bytes;
    }
  }

  async #readInPieces(request: Request): Promise<Uint8Array> {
    if (request.body === null) return new Uint8Array(0);
    const pieces: Uint8Array[] = [];
    const reader = request.body.getReader() as PieceReader;
    let total = 0;
    try {
      for (;;) {
        const piece = await readPiece(reader);
        if (piece === null) return joined(pieces, total);
        if (total + piece.byteLength >= this.#config.bodyMaxBytes) throw this.#tooLarge();
        this.#hold(piece.byteLength);
        total += piece.byteLength;
        pieces.push(piece);
      }
    } catch (error) {
      // Lets the runtime drop what has not arrived yet; whether that works changes nothing for the caller.
      await reader.cancel().catch(() => undefined);
      throw error;
    } finally {
      this.#heldBytes -= total;
    }
  }

  #hold(bytes: number): void {
    if (this.#heldBytes + bytes > this.#config.budgetMaxBytes) {
      throw new CodedError("OVERLOADED", { message: "Too many large bodies are being read.", retryAfterSeconds });
    }
    this.#heldBytes += bytes;
  }

  #tooLarge(): CodedError {
    const mebibytes = Math.floor(this.#config.bodyMaxBytes / 1_048_576);
    return new CodedError("PAYLOAD_TOO_LARGE", { message: `The body must be smaller than ${mebibytes} MiB.` });
  }
}

/** What is used of a stream reader; the types of Bun and of the web differ in the rest. */
interface PieceReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }>;
  cancel(): Promise<void>;
}

async function readPiece(reader: PieceReader): Promise<Uint8Array | null> {
  try {
    const { done, value } = await reader.read();
    return done || value === undefined ? null : value;
  } catch (cause) {
    throw incomplete(cause);
  }
}

function joined(pieces: readonly Uint8Array[], total: number): Uint8Array {
  if (pieces.length === 1 && pieces[0] !== undefined) return pieces[0];
  const whole = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

function incomplete(cause: unknown): CodedError {
  return new CodedError("MALFORMED_JSON", { message: "The body did not arrive completely.", cause });
}

function declaredBytes(request: Request): number | null {
  const text = request.headers.get("content-length");
  if (text === null) return null;
  const bytes = Number(text);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : null;
}
