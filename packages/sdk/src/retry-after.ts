const msPerSecond = 1_000;

/**
 * What a `Retry-After` header asks for, in milliseconds from now; null if there is none that can be read. It is a
 * number of seconds or an HTTP date, whose moment may be past already.
 */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  const text = header?.trim() ?? "";
  if (/^\d{1,10}$/.test(text)) return Number(text) * msPerSecond;
  // A date begins with the name of its day; Date.parse would read other things as dates, too.
  const at = /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(at - nowMs, 0);
}
