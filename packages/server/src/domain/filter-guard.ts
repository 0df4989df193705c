import type { ASTNode } from "@marcbachmann/cel-js";
import type { FilterSubject } from "./filter.ts";

/**
 * A comparison `path == literal` that must hold for a filter to match, because the filter is that comparison or joins
 * it to the rest by `&&`. If thousands of filters on one event type compare the same path, the value found there picks
 * the few worth evaluating, by one look-up in a map.
 *
 * Skipping is sound only when the comparison is certainly false. CEL's `&&` is false if either side is, even when the
 * other one faults, so a false guard settles the whole filter. If the path leads nowhere the comparison faults rather
 * than being false, and every filter must be evaluated to count its fault.
 */
export interface EqualityGuard {
  /** The variable and the fields after it, e.g. `["data", "order", "kind"]`. */
  readonly path: readonly string[];
  readonly value: GuardValue;
}

export type GuardValue = string | number | boolean;

/** The leftmost such comparison, or null. */
export function equalityGuard(node: ASTNode): EqualityGuard | null {
  if (node.op === "&&") return equalityGuard(node.args[0]) ?? equalityGuard(node.args[1]);
  if (node.op !== "==") return null;
  const [left, right] = node.args;
  return guardOf(left, right) ?? guardOf(right, left);
}

/**
 * What the path leads to, if it is a value that a guard can be compared with (null equals none). Undefined: evaluate,
 * since the path leads nowhere, or to something whose comparison is the library's to decide.
 */
export function valueAt(subject: FilterSubject, path: readonly string[]): GuardValue | null | undefined {
  let value: unknown = path[0] === "event" ? subject.event : subject.data;
  for (let depth = 1; depth < path.length; depth++) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    value = ownField(value, path[depth] ?? "");
  }
  return value === null || isGuardValue(value) ? value : undefined;
}

function guardOf(side: ASTNode, other: ASTNode): EqualityGuard | null {
  const path = pathOf(side);
  if (path === null || path.length < 2 || other.op !== "value") return null;
  const value = typeof other.args === "bigint" ? Number(other.args) : other.args;
  if (!isGuardValue(value) || (typeof value === "number" && !Number.isSafeInteger(value))) return null;
  return { path, value };
}

/** Only plain fields of `event` and `data`: an index or a call may fault in ways of its own. */
function pathOf(node: ASTNode): string[] | null {
  if (node.op === "id") return node.args === "event" || node.args === "data" ? [node.args] : null;
  if (node.op !== ".") return null;
  const before = pathOf(node.args[0]);
  return before === null ? null : [...before, node.args[1]];
}

function ownField(value: object, field: string): unknown {
  return Object.hasOwn(value, field) ? (value as Readonly<Record<string, unknown>>)[field] : undefined;
}

function isGuardValue(value: unknown): value is GuardValue {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
