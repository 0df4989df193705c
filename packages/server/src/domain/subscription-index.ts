import { matchesPattern, parsePattern } from "./event-type-pattern.ts";
import { createSegmentTrie, type SegmentTrie } from "./segment-trie.ts";
import type { ClientId } from "./ids.ts";
import type { EventTypeBinding, Subscription } from "./subscription.ts";

/**
 * Which subscriptions want events of this type and client?
 *
 * Ten thousand subscriptions must not be visited for each event. Patterns without a wildcard are found by one look-up
 * in a map of types. The others live in two tries of segments, one for `:` and one for `.`, because a pattern decides
 * by its own text how a type is split. At each end there is a bucket per client, so that ten thousand tenants that
 * want the same type are not visited either: an event looks only at the subscriptions of the platform (client null)
 * and at those of its own client.
 *
 * Answers are remembered per (client, type), since types repeat far more often than they are new; what is remembered
 * is bounded and thrown away as a whole when the bound is reached. An index never changes: a changed set of
 * subscriptions is a new index.
 *
 * The order of an answer is that of the subscription ids. It is part of the contract: the stream counts through it
 * when one event makes more jobs than fit into a pass, and a restart must count through the same order.
 *
 * Filters are not looked at here: a candidate says which of its bindings matched, and the filters are the caller's.
 */
export interface SubscriptionIndex<Entry extends Indexable> {
  /** Ordered by subscription id; the array is shared and must not be changed. */
  candidates(type: string, clientId: ClientId | null): readonly Candidate<Entry>[];
  /** Subscriptions in the index, and bindings left out because their pattern cannot be parsed. */
  readonly size: number;
  readonly invalidBindings: number;
}

/** What the index needs to know of a subscription. */
export type Indexable = Pick<Subscription, "id" | "clientId" | "eventTypes">;

/** A subscription of which at least one pattern matches, and the bindings that do, in their own order. */
export interface Candidate<Entry extends Indexable> {
  readonly subscription: Entry;
  readonly bindings: readonly EventTypeBinding[];
}

export const indexLimits = {
  /** Answers remembered; then all are forgotten. */
  rememberedTypes: 20_000,
  /** Candidates in all remembered answers together; then all are forgotten. */
  rememberedCandidates: 500_000,
  /** Patterns that `nearestPattern` compares; further ones are not looked at. */
  nearestMaxPatterns: 2_000,
} as const;

interface Binding<Entry> {
  readonly entry: Entry;
  readonly ordinal: number;
  readonly binding: EventTypeBinding;
}

type Bucket<Entry> = Map<ClientId | null, Binding<Entry>[]>;

interface Places<Entry> {
  readonly literal: Map<string, Bucket<Entry>>;
  readonly colon: SegmentTrie<Bucket<Entry>>;
  readonly dot: SegmentTrie<Bucket<Entry>>;
}

/** Builds the index; cost is linear in the number of patterns. A binding whose pattern is not valid matches nothing. */
export function createSubscriptionIndex<Entry extends Indexable>(
  subscriptions: readonly Entry[],
): SubscriptionIndex<Entry> {
  const places: Places<Entry> = { literal: new Map(), colon: createSegmentTrie(), dot: createSegmentTrie() };
  let invalidBindings = 0;
  for (const entry of subscriptions) {
    for (const [ordinal, binding] of entry.eventTypes.entries()) {
      if (!place(places, { entry, ordinal, binding })) invalidBindings++;
    }
  }
  const remembered = createAnswerCache<Entry>();
  return {
    size: subscriptions.length,
    invalidBindings,
    candidates: (type, clientId) =>
      remembered.get(type, clientId) ?? remembered.keep(type, clientId, lookUp(places, type, clientId)),
  };
}

/**
 * The pattern that comes closest to a type that nothing matched, for the message "no subscription matches". Close
 * means: few segments to add, remove or respell; a wildcard fits anything. Null: there is no valid pattern.
 */
export function nearestPattern(type: string, patterns: readonly string[]): string | null {
  let best: string | null = null;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const text of patterns.slice(0, indexLimits.nearestMaxPatterns)) {
    const parsed = parsePattern(text);
    if (parsed.kind === "invalid") continue;
    if (matchesPattern(parsed.pattern, type)) return text;
    const { segments, separator, openEnded } = parsed.pattern;
    const cost = segmentsCost(segments, type.split(separator), openEnded);
    if (cost < bestCost) [best, bestCost] = [text, cost];
  }
  return best;
}

function place<Entry extends Indexable>(places: Places<Entry>, placed: Binding<Entry>): boolean {
  const parsed = parsePattern(placed.binding.pattern);
  if (parsed.kind === "invalid") return false;
  const { pattern } = parsed;
  let bucket: Bucket<Entry>;
  if (pattern.literal) {
    bucket = places.literal.get(pattern.text) ?? new Map<ClientId | null, Binding<Entry>[]>();
    places.literal.set(pattern.text, bucket);
  } else {
    const trie = pattern.separator === ":" ? places.colon : places.dot;
    bucket = trie.at(pattern, () => new Map());
  }
  const ofClient = bucket.get(placed.entry.clientId);
  if (ofClient === undefined) bucket.set(placed.entry.clientId, [placed]);
  else ofClient.push(placed);
  return true;
}

function lookUp<Entry extends Indexable>(
  places: Places<Entry>,
  type: string,
  clientId: ClientId | null,
): readonly Candidate<Entry>[] {
  const found: Binding<Entry>[] = [];
  const take = (bucket: Bucket<Entry>): void => {
    for (const placed of bucket.get(null) ?? []) found.push(placed);
    if (clientId === null) return;
    for (const placed of bucket.get(clientId) ?? []) found.push(placed);
  };
  const literal = places.literal.get(type);
  if (literal !== undefined) take(literal);
  places.colon.visit(type.split(":"), take);
  places.dot.visit(type.split("."), take);
  found.sort(byIdThenOrdinal);
  return gather(found);
}

function byIdThenOrdinal<Entry extends Indexable>(left: Binding<Entry>, right: Binding<Entry>): number {
  if (left.entry.id !== right.entry.id) return left.entry.id < right.entry.id ? -1 : 1;
  return left.ordinal - right.ordinal;
}

/** Makes one candidate of the neighbouring bindings of one subscription. */
function gather<Entry extends Indexable>(sorted: readonly Binding<Entry>[]): readonly Candidate<Entry>[] {
  const candidates: Candidate<Entry>[] = [];
  let bindings: EventTypeBinding[] = [];
  let last: Entry | null = null;
  for (const placed of sorted) {
    if (placed.entry !== last) {
      bindings = [];
      last = placed.entry;
      candidates.push({ subscription: last, bindings });
    }
    bindings.push(placed.binding);
  }
  return candidates;
}

interface AnswerCache<Entry extends Indexable> {
  get(type: string, clientId: ClientId | null): readonly Candidate<Entry>[] | undefined;
  keep(type: string, clientId: ClientId | null, answer: readonly Candidate<Entry>[]): readonly Candidate<Entry>[];
}

function createAnswerCache<Entry extends Indexable>(): AnswerCache<Entry> {
  const byClient = new Map<ClientId | null, Map<string, readonly Candidate<Entry>[]>>();
  let types = 0;
  let candidates = 0;
  return {
    get: (type, clientId) => byClient.get(clientId)?.get(type),
    keep(type, clientId, answer) {
      const full = types >= indexLimits.rememberedTypes || candidates >= indexLimits.rememberedCandidates;
      if (full) {
        byClient.clear();
        types = 0;
        candidates = 0;
      }
      let ofClient = byClient.get(clientId);
      if (ofClient === undefined) byClient.set(clientId, (ofClient = new Map<string, readonly Candidate<Entry>[]>()));
      ofClient.set(type, answer);
      types++;
      candidates += answer.length;
      return answer;
    },
  };
}

/** A missing or superfluous segment costs 1; a respelled one less, another word in its place more. */
const otherWordCost = 1.5;
/** Words that differ in more of their letters than this are different words. */
const respellingMaxShare = 0.5;

/** Edit distance over segments (Wagner and Fischer 1974), with a fraction for segments that differ in spelling. */
function segmentsCost(wanted: readonly string[], given: readonly string[], openEnded: boolean): number {
  const costs = distance(wanted.length, given.length, (i, j) => spellingCost(wanted[i] ?? "", given[j] ?? ""));
  if (!openEnded) return costs.at(-1) ?? 0;
  // `**` takes any rest of at least one segment for nothing.
  return Math.min(...costs.slice(0, -1), (costs.at(-1) ?? 0) + 1);
}

function spellingCost(wanted: string, given: string): number {
  if (wanted === "*" || wanted === given) return 0;
  const letters = distance(wanted.length, given.length, (i, j) => (wanted[i] === given[j] ? 0 : 1)).at(-1) ?? 0;
  const share = letters / Math.max(wanted.length, given.length);
  return share > respellingMaxShare ? otherWordCost : share;
}

/** Last row of the edit distance of the whole left side to each beginning of the right side. */
function distance(left: number, right: number, replace: (i: number, j: number) => number): number[] {
  let row = Array.from({ length: right + 1 }, (_, j) => j);
  for (let i = 0; i < left; i++) {
    const next = [i + 1];
    for (let j = 0; j < right; j++) {
      const kept = (row[j] ?? 0) + replace(i, j);
      next.push(Math.min(kept, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row;
}
