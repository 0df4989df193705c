import { anySegment, type EventTypePattern } from "./event-type-pattern.ts";

/**
 * Patterns of one separator, stored by their segments, each with a payload per pattern. A look-up follows at most two
 * branches a segment (the literal one and `*`), so it costs what matches, not what is stored.
 */
export interface SegmentTrie<Payload> {
  /** The payload of this pattern, made by `create` if the pattern is new. */
  at(pattern: EventTypePattern, create: () => Payload): Payload;
  /** Calls back with the payload of every pattern that the segments of a type match, in no particular order. */
  visit(segments: readonly string[], found: (payload: Payload) => void): void;
}

interface TrieNode<Payload> {
  readonly literal: Map<string, TrieNode<Payload>>;
  any: TrieNode<Payload> | null;
  /** Of the pattern that ends here. */
  exact: Payload | null;
  /** Of the pattern that ends here with `**`. */
  open: Payload | null;
}

export function createSegmentTrie<Payload extends object>(): SegmentTrie<Payload> {
  const root = emptyNode<Payload>();
  return {
    at(pattern, create) {
      let node = root;
      for (const segment of pattern.segments) node = childOf(node, segment);
      if (pattern.openEnded) return (node.open ??= create());
      return (node.exact ??= create());
    },
    visit: (segments, found) => visitNode(root, { segments, found }, 0),
  };
}

interface Visit<Payload> {
  readonly segments: readonly string[];
  readonly found: (payload: Payload) => void;
}

/** Depth is bounded by the segments of a type, which has at most 255 characters. */
function visitNode<Payload>(node: TrieNode<Payload>, visit: Visit<Payload>, depth: number): void {
  const segment = visit.segments[depth];
  if (segment === undefined) {
    if (node.exact !== null) visit.found(node.exact);
    return;
  }
  if (node.open !== null) visit.found(node.open);
  const next = node.literal.get(segment);
  if (next !== undefined) visitNode(next, visit, depth + 1);
  if (node.any !== null) visitNode(node.any, visit, depth + 1);
}

function childOf<Payload>(node: TrieNode<Payload>, segment: string): TrieNode<Payload> {
  if (segment === anySegment) return (node.any ??= emptyNode());
  let child = node.literal.get(segment);
  if (child === undefined) {
    child = emptyNode();
    node.literal.set(segment, child);
  }
  return child;
}

function emptyNode<Payload>(): TrieNode<Payload> {
  return { literal: new Map(), any: null, exact: null, open: null };
}
