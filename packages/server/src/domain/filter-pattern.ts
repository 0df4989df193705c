/**
 * What a regular expression in a filter may cost.
 *
 * The runtime's expressions backtrack, so a careless one (`(a+)+$`) takes time exponential in its subject. Only
 * patterns whose worst case is a known power of the subject's length are let through: each unbounded repetition is one
 * power, and so is the search for a beginning when the pattern is not anchored with `^`. Repeated groups,
 * look-around and back references are refused, and so are more optional parts than a filter can sensibly need,
 * because those multiply.
 */
export type RegexCost =
  | { readonly kind: "power"; readonly power: number }
  | { readonly kind: "refused"; readonly reason: string };

/** Optional parts and alternatives together; each may double the worst case. */
const maxAlternatives = 10;
const maxPatternChars = 500;

/** Power of the subject's length that matching may take at worst. */
export function regexCost(source: string): RegexCost {
  if (source.length > maxPatternChars)
    return refused(`a pattern of matches() has at most ${maxPatternChars} characters`);
  const bare = withoutAtoms(source);
  if (/\\[1-9]|\\k/.test(source)) return refused("matches() does not take back references");
  if (/\(\?(?!:)/.test(bare)) return refused("matches() does not take look-around or named groups");
  if (/\)[*+{]/.test(bare)) return refused("matches() does not take a repeated group");
  const alternatives = (bare.replaceAll("(?:", "(").match(/[?|]/g) ?? []).length;
  if (alternatives > maxAlternatives) {
    return refused(`matches() takes at most ${maxAlternatives} optional parts and alternatives`);
  }
  if (!isRegex(source)) return refused("the pattern of matches() is not a regular expression");
  const repetitions = (bare.match(/[*+]|\{\d*,\d*\}/g) ?? []).length;
  // `^a|b` is anchored in its first alternative only.
  const anchored = bare.startsWith("^") && !bare.includes("|");
  return { kind: "power", power: repetitions + (anchored ? 0 : 1) };
}

/** The pattern with each escaped character and each class replaced by a plain letter. */
function withoutAtoms(source: string): string {
  return source.replaceAll(/\\./gs, "x").replaceAll(/\[[^\]]*\]/g, "x");
}

function isRegex(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch {
    return false;
  }
}

function refused(reason: string): RegexCost {
  return { kind: "refused", reason };
}
