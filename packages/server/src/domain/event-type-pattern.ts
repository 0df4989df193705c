/**
 * Patterns of event types, as subscriptions write them.
 *
 * A pattern and the type it is held against are split on `:` if the pattern has one, else on `.`. A segment `*` stands
 * for exactly one whole segment, `**` as the last segment for one or more; every other segment is literal and
 * case-sensitive. `app:*:order:**` matches `app:sales:order:placed`; `order.*` matches `order.created`; `**` matches
 * every type. A pattern without a wildcard matches by equality of the whole text, so any registered or unregistered
 * type can be named as it is.
 *
 * What is refused, because it would never do what its writer meant: an empty pattern, an empty segment, a `*` that is
 * only a part of a segment, `**` anywhere but last, and more characters than a type can have.
 */

import { eventLimits } from "./event.ts";

/** What separates the segments of a pattern, and for that pattern those of a type. */
export type SegmentSeparator = ":" | ".";

/** A pattern taken apart. */
export interface EventTypePattern {
  readonly text: string;
  readonly separator: SegmentSeparator;
  /** The segments but a final `**`; `*` is kept as it is. */
  readonly segments: readonly string[];
  /** True: ends with `**`, which takes one or more further segments. */
  readonly openEnded: boolean;
  /** True: no wildcard, matches by equality. */
  readonly literal: boolean;
}

export type PatternParse =
  | { readonly kind: "valid"; readonly pattern: EventTypePattern }
  /** `position` counts characters from 0. */
  | { readonly kind: "invalid"; readonly position: number; readonly reason: string };

export const anySegment = "*";
const anySegments = "**";

/** Takes a pattern apart; what is wrong with it is a value with the position of the fault. */
export function parsePattern(text: string): PatternParse {
  if (text.length === 0) return invalid(0, "a pattern must not be empty");
  if (text.length > eventLimits.typeMaxChars) {
    return invalid(eventLimits.typeMaxChars, `a pattern has at most ${eventLimits.typeMaxChars} characters`);
  }
  const separator = separatorOf(text);
  const segments = text.split(separator);
  let position = 0;
  for (const [index, segment] of segments.entries()) {
    const fault = segmentFault(segment, index === segments.length - 1);
    if (fault !== null) return invalid(position + fault.offset, fault.reason);
    position += segment.length + 1;
  }
  const openEnded = segments.at(-1) === anySegments;
  if (openEnded) segments.pop();
  const literal = !openEnded && !segments.includes(anySegment);
  return { kind: "valid", pattern: { text, separator, segments, openEnded, literal } };
}

/** The same as a yes or no with a reason, for forms and requests. Null: the pattern is valid. */
export function patternFault(text: string): { readonly position: number; readonly reason: string } | null {
  const parsed = parsePattern(text);
  return parsed.kind === "valid" ? null : { position: parsed.position, reason: parsed.reason };
}

/** Does the type match the pattern? The rule itself; whoever has many patterns uses the subscription index. */
export function matchesPattern(pattern: EventTypePattern, type: string): boolean {
  if (pattern.literal) return pattern.text === type;
  const given = type.split(pattern.separator);
  const wanted = pattern.segments;
  if (pattern.openEnded ? given.length <= wanted.length : given.length !== wanted.length) return false;
  return wanted.every((segment, index) => segment === anySegment || segment === given[index]);
}

/** `:` if the text has one, else `.`. */
export function separatorOf(text: string): SegmentSeparator {
  return text.includes(":") ? ":" : ".";
}

function segmentFault(segment: string, last: boolean): { readonly offset: number; readonly reason: string } | null {
  if (segment.length === 0) return { offset: 0, reason: "a segment must not be empty" };
  if (segment === anySegment) return null;
  if (segment === anySegments) {
    return last ? null : { offset: 0, reason: "`**` may only be the last segment" };
  }
  const star = segment.indexOf(anySegment);
  return star < 0 ? null : { offset: star, reason: "`*` stands for one whole segment, not for a part of one" };
}

function invalid(position: number, reason: string): PatternParse {
  return { kind: "invalid", position, reason };
}
