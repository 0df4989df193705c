/**
 * Whether an event type matches a subscription's pattern, by the platform's rule: both are split on `:` if the pattern
 * has one, else on `.`; `*` is one whole segment, `**` as the last segment is one or more.
 */
export function webhookMatches(pattern: string, type: string): boolean {
  const separator = pattern.includes(":") ? ":" : ".";
  const [wanted, given] = [pattern.split(separator), type.split(separator)];
  const isOpen = wanted.at(-1) === "**";
  const fixed = isOpen ? wanted.slice(0, -1) : wanted;
  if (isOpen ? given.length < wanted.length : given.length !== wanted.length) return false;
  return fixed.every((segment, at) => segment === "*" || segment === given[at]);
}
