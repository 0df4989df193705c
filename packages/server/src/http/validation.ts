import { CodedError, type FieldFault } from "@flowcatalyst/foundation";
import type * as z from "zod";

/** Faults told of one request; a body that is wrong a thousand times over needs no longer list. */
export const maxFaultsTold = 100;

/** The value as the schema reads it. Throws VALIDATION_FAILED or UNKNOWN_FIELD with the path of each fault. */
export function validated<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw validationError(faultsOf(parsed.error.issues, []));
}

/** One fault gives its own sentence as the message, several give their number. */
export function validationError(faults: readonly TaggedFault[]): CodedError {
  const onlyUnknown = faults.every((fault) => fault.unknownField === true);
  const errors = faults.slice(0, maxFaultsTold).map(({ path, message }) => ({ path, message }));
  const message = faults.length === 1 && faults[0] !== undefined ? sentence(faults[0]) : `${faults.length} faults.`;
  return new CodedError(onlyUnknown ? "UNKNOWN_FIELD" : "VALIDATION_FAILED", { message, errors });
}

export type TaggedFault = FieldFault & { readonly unknownField?: boolean };

export const unknownFieldMessage = "is not a known field";

function sentence(fault: FieldFault): string {
  return fault.path === "" ? `The body ${fault.message}.` : `${fault.path} ${fault.message}.`;
}

type Issue = z.core.$ZodIssue;

function faultsOf(issues: readonly Issue[], base: readonly PropertyKey[]): TaggedFault[] {
  return issues.flatMap((issue) => faultsOfIssue(issue, [...base, ...issue.path]));
}

function faultsOfIssue(issue: Issue, path: readonly PropertyKey[]): TaggedFault[] {
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({
        path: pathText([...path, key]),
        message: unknownFieldMessage,
        unknownField: true,
      }));
    case "invalid_union":
      return unionFaults(issue.errors, path, issue.message);
    case "invalid_type":
      return [{ path: pathText(path), message: typeMessage(issue.expected, issue.message) }];
    case "invalid_value":
      return [{ path: pathText(path), message: `must be ${choiceText(issue.values)}` }];
    case "too_small":
      return [{ path: pathText(path), message: sizeMessage(issue.origin, "least", issue.minimum) }];
    case "too_big":
      return [{ path: pathText(path), message: sizeMessage(issue.origin, "most", issue.maximum) }];
    default:
      return [{ path: pathText(path), message: plain(issue.message) }];
  }
}

/** Of the ways a value could have been meant, the one that got furthest into it is told of. */
function unionFaults(
  branches: readonly (readonly Issue[])[],
  path: readonly PropertyKey[],
  otherwise: string,
): TaggedFault[] {
  let best: readonly Issue[] | null = null;
  let bestDepth = 0;
  for (const branch of branches) {
    const depth = Math.max(0, ...branch.map(depthOf));
    if (depth > bestDepth) [best, bestDepth] = [branch, depth];
  }
  // None got anywhere: one that took the type and not the value says what it wants instead.
  best ??= branches.find((branch) => branch.every(({ code }) => code !== "invalid_type")) ?? null;
  if (best !== null) return faultsOf(best, path);
  const expected = new Set(branches.flat().flatMap((issue) => (issue.code === "invalid_type" ? [issue.expected] : [])));
  const message = expected.size === 0 ? plain(otherwise) : `must be ${[...expected].map(withArticle).join(" or ")}`;
  return [{ path: pathText(path), message }];
}

function depthOf(issue: Issue): number {
  return issue.path.length + (issue.code === "unrecognized_keys" ? 1 : 0);
}

function typeMessage(expected: string, message: string): string {
  if (message.endsWith("received undefined")) return "is required";
  return `must be ${withArticle(expected)}`;
}

function withArticle(expected: string): string {
  const article = /^[aeio]/.test(expected) && expected !== "int" ? "an" : "a";
  return `${article} ${expected === "int" ? "whole number" : expected}`;
}

function choiceText(values: readonly unknown[]): string {
  const texts = values.map((value) => JSON.stringify(value));
  return texts.length === 1 ? (texts[0] ?? "") : `one of ${texts.join(", ")}`;
}

function sizeMessage(origin: string, bound: "least" | "most", limit: number | bigint): string {
  switch (origin) {
    case "string":
      return limit === 1 && bound === "least" ? "must not be empty" : `must have at ${bound} ${limit} characters`;
    case "array":
      return limit === 1 && bound === "least" ? "must not be empty" : `must have at ${bound} ${limit} items`;
    default:
      return `must be at ${bound} ${limit}`;
  }
}

function plain(message: string): string {
  if (message.startsWith("must ") || message.startsWith("is ")) return message;
  const detail = message.replace(/^Invalid (?:input|string|option):? ?/, "");
  return detail === "" ? "is not valid" : `is not valid: ${detail}`;
}

/** `events[3].type`, as one would write it in JavaScript. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(String(part))) text += text === "" ? String(part) : `.${String(part)}`;
    else text += `[${JSON.stringify(String(part))}]`;
  }
  return text;
}
