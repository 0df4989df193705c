import type { ASTNode } from "@marcbachmann/cel-js";
import { regexCost } from "./filter-pattern.ts";

/**
 * What a filter may cost, decided before it runs.
 *
 * The library evaluates without counting, and a filter runs on the thread that delivers, so its cost must be known
 * from its text. Every operation is put into one of three classes by how its work grows with the size n of the event's
 * data: constant, linear, or quadratic; a filter with anything steeper is refused when it is saved, with its position.
 *
 * - A loop (`all`, `exists`, `exists_one`, `filter`) over any list adds one power to all in its body, except a loop
 *   over a part of the element that the loop around it stands on: those parts are disjoint, so together they are no
 *   larger than the data, and nothing is added.
 * - Comparing two values neither of which is a plain literal, `in` a list that is not literal, and functions that read
 *   a whole text add one power, again not for a part of the element at hand.
 * - `matches` adds what its pattern can cost (see filter-pattern).
 *
 * At evaluation the linear and quadratic counts, with the size of the data at hand, give a bound on the steps; above
 * the limit the filter is not run on this event and counts as a fault. So small events may be searched deeply, large
 * ones only simply, and no single evaluation takes long.
 */
export interface FilterCost {
  /** Operations done at most once per element or byte of the data. */
  readonly linear: number;
  /** Operations done at most once per pair of them. */
  readonly quadratic: number;
}

export type CostAnalysis =
  | { readonly kind: "affordable"; readonly cost: FilterCost }
  | { readonly kind: "refused"; readonly position: number; readonly reason: string };

/** Upper bound on the steps of one evaluation. An element of JSON takes at least two bytes. */
export function stepsAtMost(cost: FilterCost, dataBytes: number): number {
  const elements = dataBytes / 2;
  return cost.linear * elements + cost.quadratic * elements * elements;
}

/** Classifies an expression that has passed the type check. */
export function analyseCost(root: ASTNode): CostAnalysis {
  const tally: Tally = { powers: [0, 0, 0], refusal: null };
  walk(root, { power: 0, element: null, tally });
  if (tally.refusal !== null) return tally.refusal;
  return { kind: "affordable", cost: { linear: tally.powers[1], quadratic: tally.powers[2] } };
}

interface Tally {
  readonly powers: [number, number, number];
  refusal: Extract<CostAnalysis, { kind: "refused" }> | null;
}

interface Place {
  /** Powers that the loops around this place have added. */
  readonly power: number;
  /** Variable of the innermost loop. */
  readonly element: string | null;
  readonly tally: Tally;
}

const loops: ReadonlySet<string> = new Set(["all", "exists", "exists_one", "filter"]);
/** Methods that read their receiver from end to end. */
const scans: ReadonlySet<string> = new Set(["size", "lowerAscii", "upperAscii", "trim", "substring"]);
/** Methods that read their receiver once per character of their argument, at worst. */
const searches: ReadonlySet<string> = new Set(["contains", "indexOf", "lastIndexOf", "split"]);
/** What can build values larger than the data, or is of no use for a yes or no. */
const notOffered: ReadonlySet<string> = new Set([
  "map",
  "bind",
  "join",
  "json",
  "hex",
  "base64",
  "string",
  "at",
  "bytes",
]);
const prefixTests: ReadonlySet<string> = new Set(["startsWith", "endsWith"]);

function walk(node: ASTNode, place: Place): void {
  charge(node, place.power + ownPower(node, place), place.tally);
  switch (node.op) {
    case "value":
    case "id":
      return;
    case ".":
    case ".?":
      walk(node.args[0], place);
      return;
    case "!_":
    case "-_":
      walk(node.args, place);
      return;
    case "call":
      if (node.args[0] === "bytes") refuse(node, `${node.args[0]}() is not available in filters`, place.tally);
      for (const argument of node.args[1]) walk(argument, place);
      return;
    case "rcall":
      walkMethod(node, place);
      return;
    case "map":
      for (const entry of node.args) for (const part of entry) walk(part, place);
      return;
    default:
      for (const argument of node.args) walk(argument, place);
  }
}

type MethodNode = Extract<ASTNode, { op: "rcall" }>;

function walkMethod(node: MethodNode, place: Place): void {
  const [name, receiver, methodArguments] = node.args;
  walk(receiver, place);
  if (notOffered.has(name)) refuse(node, `${name}() is not available in filters`, place.tally);
  const [variable, body] = methodArguments;
  if (!loops.has(name) || variable?.op !== "id" || body === undefined) {
    for (const argument of methodArguments) walk(argument, place);
    return;
  }
  const added = isPartOfElement(receiver, place) ? 0 : 1;
  walk(body, { power: place.power + added, element: variable.args, tally: place.tally });
}

/** Powers that the operation itself adds to those of its place. */
function ownPower(node: ASTNode, place: Place): number {
  switch (node.op) {
    case "==":
    case "!=":
      return node.args.some((side) => isPlain(side) || isPartOfElement(side, place)) ? 0 : 1;
    case "in":
      return readPower(node.args[1], place);
    case "+":
      return node.args.some(isPlain) ? 0 : Math.max(...node.args.map((side) => readPower(side, place)));
    case "call":
      return Math.max(0, ...node.args[1].map((argument) => readPower(argument, place)));
    case "rcall":
      return methodPower(node, place);
    default:
      return 0;
  }
}

function methodPower(node: MethodNode, place: Place): number {
  const [name, receiver, methodArguments] = node.args;
  if (prefixTests.has(name)) return 0;
  if (scans.has(name)) return readPower(receiver, place);
  if (searches.has(name)) {
    const needle = methodArguments[0];
    return readPower(receiver, place) + (needle === undefined ? 0 : readPower(needle, place));
  }
  return name === "matches" ? regexPower(node, place) : 0;
}

function regexPower(node: MethodNode, place: Place): number {
  const [, receiver, methodArguments] = node.args;
  const pattern = methodArguments[0];
  if (pattern?.op !== "value" || typeof pattern.args !== "string") {
    refuse(node, "the pattern of matches() must be a literal text", place.tally);
    return 0;
  }
  const cost = regexCost(pattern.args);
  if (cost.kind === "refused") {
    refuse(pattern, cost.reason, place.tally);
    return 0;
  }
  // Attributes of an event are short texts: their square is a constant.
  if (rootOf(receiver) === "event") return Math.max(0, cost.power - 2);
  if (isPartOfElement(receiver, place)) return Math.max(0, cost.power - 1);
  return cost.power;
}

/** 0 for what is short or belongs to the element at hand, else 1: reading it takes time that grows with the data. */
function readPower(node: ASTNode, place: Place): number {
  if (isPlain(node) || isPartOfElement(node, place) || rootOf(node) === "event") return 0;
  if (node.op === "list") return Math.max(0, ...node.args.map((item) => readPower(item, place)));
  return 1;
}

/** Results that are numbers, truth values or times, whatever they are computed from. */
const scalarOperators: ReadonlySet<string> = new Set([
  "-_",
  "-",
  "*",
  "/",
  "%",
  "!_",
  "&&",
  "||",
  "==",
  "!=",
  "<",
  "<=",
  ">",
  ">=",
  "in",
]);

/** Of a size that does not depend on the data: what the writer of the filter wrote out, and results of arithmetic. */
function isPlain(node: ASTNode): boolean {
  if (node.op === "list") return node.args.every(isPlain);
  return node.op === "value" || scalarOperators.has(node.op);
}

function isPartOfElement(node: ASTNode, place: Place): boolean {
  return place.element !== null && rootOf(node) === place.element;
}

/** The variable that a path starts from: `data` of `data.items[0].tags`. Null: it is no path. */
function rootOf(node: ASTNode): string | null {
  switch (node.op) {
    case "id":
      return node.args;
    case ".":
    case "[]":
      return rootOf(node.args[0]);
    case "rcall":
      return node.args[0] === "filter" || scans.has(node.args[0]) ? rootOf(node.args[1]) : null;
    default:
      return null;
  }
}

function charge(node: ASTNode, power: number, tally: Tally): void {
  if (power === 0 || power === 1 || power === 2) {
    tally.powers[power]++;
    return;
  }
  refuse(node, "the filter is too costly: its work grows faster than the square of the data", tally);
}

/** The first refusal stands: it is the leftmost outermost one. */
function refuse(node: ASTNode, reason: string, tally: Tally): void {
  tally.refusal ??= { kind: "refused", position: node.start, reason };
}
