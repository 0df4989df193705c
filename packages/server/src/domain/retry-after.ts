/**
 * What a target means by `Retry-After` (RFC 9110, section 10.2.3): seconds, or one of the three date forms of section
 * 5.6.7 (IMF-fixdate, and the obsolete RFC 850 and asctime forms, which a recipient must still read).
 */

export const retryAfterLimits = {
  minMs: 1_000,
  maxMs: 3_600_000,
  /** The wait when the header is absent or says nothing we understand. */
  defaultMs: 30_000,
} as const;

const seconds = /^\d{1,12}$/;
/** Days and months are named in English whatever the locale; a date of no such form is not a date. */
const dateForms = [
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/,
] as const;

/** Milliseconds to wait from `nowMs` on, within 1 s and 1 h; 30 s when the value cannot be read. */
export function retryAfterMs(value: string | null, nowMs: number): number {
  const text = value?.trim() ?? "";
  if (seconds.test(text)) return clamp(Number(text) * 1_000);
  if (!dateForms.some((form) => form.test(text))) return retryAfterLimits.defaultMs;
  // The asctime form names no zone and means UTC, which only a suffix tells the parser.
  const atMs = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return Number.isNaN(atMs) ? retryAfterLimits.defaultMs : clamp(atMs - nowMs);
}

function clamp(ms: number): number {
  return Math.min(Math.max(ms, retryAfterLimits.minMs), retryAfterLimits.maxMs);
}
