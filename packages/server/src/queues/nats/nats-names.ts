import type { PoolCode } from "../../domain/ids.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

/** How streams, subjects and consumers of one queue are called. */
export interface NatsNames {
  readonly stream: string;
  readonly deadStream: string;
  /** Every lane's subject is this and its token. */
  readonly lanePrefix: string;
  readonly laneSubjects: string;
  readonly deadSubject: string;
}

export function namesOf(streamName: string): NatsNames {
  const prefix = streamName.toLowerCase();
  return {
    stream: streamName,
    deadStream: `${streamName}-DEAD`,
    lanePrefix: `${prefix}.lane.`,
    laneSubjects: `${prefix}.lane.*`,
    deadSubject: `${prefix}.dead`,
  };
}

/**
 * The lane as one token of a subject, which is the name of its consumer as well. Letters, digits, `-` and `_` stand for
 * themselves, so the usual pool is `flowcatalyst.lane.DEFAULT-POOL`; every other byte of its UTF-8 is `=` and two
 * hexadecimal digits, because dots, wildcards, spaces and slashes mean something to the server. Null: too long.
 */
export function laneToken(lane: PoolCode): string | null {
  const token = plainToken.test(lane) ? lane : escapeBytes(lane, plainByte, "=");
  return token.length > 0 && token.length <= natsQueueLimits.laneTokenMaxChars ? token : null;
}

/** Null: nobody of ours made this token. */
export function laneOfToken(token: string): PoolCode | null {
  const lane = plainToken.test(token) ? token : unescapeBytes(token, "=");
  return lane === null || lane === "" || laneToken(lane as PoolCode) !== token ? null : (lane as PoolCode);
}

/**
 * A text that a header can hold. Printable ASCII stands for itself, so an id that a person gives by hand is the same
 * id; every other byte, and `%`, is `%` and two hexadecimal digits.
 */
export function headerText(text: string): string {
  return plainHeader.test(text) ? text : escapeBytes(text, headerByte, "%");
}

/** The same, of so many bytes at most: what is beyond them is left out, and no character is cut in two. */
export function shortHeaderText(text: string, maxBytes: number): string {
  // A character is a byte at least.
  const start = text.slice(0, maxBytes);
  if (plainHeader.test(start)) return start;
  let escaped = "";
  for (const character of start) {
    const next = escapeBytes(character, headerByte, "%");
    if (escaped.length + next.length > maxBytes) break;
    escaped += next;
  }
  return escaped;
}

export function textOfHeader(header: string): string {
  return unescapeBytes(header, "%") ?? header;
}

const plainToken = /^[A-Za-z0-9_-]+$/;
const plainByte = /[A-Za-z0-9_-]/;
/** Without spaces at its ends, which a header does not keep. */
const plainHeader = /^[!-$&-~](?:[ -$&-~]*[!-$&-~])?$/;
const headerByte = /[!-$&-~]/;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function escapeBytes(text: string, plain: RegExp, mark: string): string {
  let escaped = "";
  for (const byte of encoder.encode(text)) {
    const character = String.fromCharCode(byte);
    escaped += plain.test(character) ? character : mark + byte.toString(16).toUpperCase().padStart(2, "0");
  }
  return escaped;
}

function unescapeBytes(text: string, mark: string): string | null {
  if (!text.includes(mark)) return text;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== mark) {
      bytes.push(text.charCodeAt(at));
      continue;
    }
    const digits = text.slice(at + 1, at + 3);
    if (!/^[0-9A-F]{2}$/.test(digits)) return null;
    bytes.push(Number.parseInt(digits, 16));
    at += 2;
  }
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}
