import type { CompiledFilter, FilterOutcome, FilterSubject } from "../domain/filter.ts";
import { valueAt, type GuardValue } from "../domain/filter-guard.ts";
import type { Candidate } from "../domain/subscription-index.ts";
import type { FeedEvent } from "../ports/event-log.ts";
import type { FilterFaultLog } from "./filter-faults.ts";
import type { MatchTarget } from "./matcher.ts";

/**
 * How the candidates of one event type are told apart by their filters.
 *
 * A candidate matches if one of its bindings that fit the type has no filter or a true one, and the subscription's own
 * filter, if any, is true. Many filters on one type usually ask for the same field (`data.region == "eu"`, each with
 * another value), so filters that must have a field equal to a literal are kept by that field and value: an event
 * evaluates only those whose value it has. A field that is absent makes all of them evaluate, which counts their
 * faults.
 */
export interface MatchPlan {
  /** The answer itself, if no candidate has a filter to evaluate. */
  readonly unconditional: readonly MatchTarget[] | null;
  readonly needsData: boolean;
  select(request: MatchRequest): readonly MatchTarget[];
}

export interface MatchRequest {
  readonly subject: FilterSubject;
  readonly event: FeedEvent;
  /** Another one for each event, so that a shared filter knows its answer belongs to this event. */
  readonly tick: number;
  readonly faults: FilterFaultLog;
}

/** A compiled filter with its answer for the event at hand. */
export interface SharedFilter {
  readonly filter: CompiledFilter;
  tick: number;
  outcome: FilterOutcome;
}

interface Condition {
  readonly target: MatchTarget;
  /** One of these must be true; empty: a binding without filter fits. */
  readonly bindings: readonly SharedFilter[];
  readonly own: SharedFilter | null;
}

/** Conditions that hold only if the value at `path` is the one they are kept under. Numbers are places in the plan. */
interface GuardGroup {
  readonly path: readonly string[];
  readonly byValue: Map<GuardValue | null, number[]>;
  readonly all: number[];
}

/** Below this a look-up saves nothing over evaluating. */
const guardGroupMinSize = 4;

export function createMatchPlan(
  candidates: readonly Candidate<MatchTarget>[],
  filters: ReadonlyMap<string, SharedFilter>,
): MatchPlan {
  const conditions = candidates.map((candidate) => conditionOf(candidate, filters));
  const conditional = conditions.filter(({ bindings, own }) => bindings.length > 0 || own !== null);
  if (conditional.length === 0) {
    const unconditional = candidates.map(({ subscription }) => subscription);
    return { unconditional, needsData: false, select: () => unconditional };
  }
  const { groups, ungrouped } = groupByGuard(conditions);
  return {
    unconditional: null,
    needsData: conditional.some(({ bindings, own }) =>
      [...bindings, ...(own === null ? [] : [own])].some(({ filter }) => filter.usesData),
    ),
    select(request) {
      const places = groups.length === 0 ? ungrouped : placesFor(request.subject, groups, ungrouped);
      const selected: MatchTarget[] = [];
      for (const place of places) {
        const condition = conditions[place];
        if (condition !== undefined && holds(condition, request)) selected.push(condition.target);
      }
      return selected;
    },
  };
}

function conditionOf(candidate: Candidate<MatchTarget>, filters: ReadonlyMap<string, SharedFilter>): Condition {
  const target = candidate.subscription;
  const own = target.filter === null ? null : (filters.get(target.filter) ?? null);
  const bindings: SharedFilter[] = [];
  for (const binding of candidate.bindings) {
    const shared = binding.filter === null ? undefined : filters.get(binding.filter);
    if (shared === undefined) return { target, bindings: [], own };
    bindings.push(shared);
  }
  return { target, bindings, own };
}

function groupByGuard(conditions: readonly Condition[]): { groups: GuardGroup[]; ungrouped: number[] } {
  const byPath = new Map<string, GuardGroup>();
  const ungrouped: number[] = [];
  for (const [place, { bindings, own }] of conditions.entries()) {
    const guard = own?.filter.guard ?? (bindings.length === 1 ? bindings[0]?.filter.guard : null) ?? null;
    if (guard === null) {
      ungrouped.push(place);
      continue;
    }
    const pathText = guard.path.join("\n");
    let group = byPath.get(pathText);
    if (group === undefined) byPath.set(pathText, (group = { path: guard.path, byValue: new Map(), all: [] }));
    group.all.push(place);
    const ofValue = group.byValue.get(guard.value);
    if (ofValue === undefined) group.byValue.set(guard.value, [place]);
    else ofValue.push(place);
  }
  const groups: GuardGroup[] = [];
  for (const group of byPath.values()) {
    if (group.all.length >= guardGroupMinSize) groups.push(group);
    else ungrouped.push(...group.all);
  }
  return { groups, ungrouped: ungrouped.toSorted(ascending) };
}

/** In order of place, which is that of the subscription ids. */
function placesFor(
  subject: FilterSubject,
  groups: readonly GuardGroup[],
  ungrouped: readonly number[],
): readonly number[] {
  let places: readonly number[] = ungrouped;
  let parts = ungrouped.length === 0 ? 0 : 1;
  for (const group of groups) {
    const value = valueAt(subject, group.path);
    const added = value === undefined ? group.all : group.byValue.get(value);
    if (added === undefined) continue;
    places = parts === 0 ? added : [...places, ...added];
    parts++;
  }
  return parts > 1 ? places.toSorted(ascending) : places;
}

function holds(condition: Condition, request: MatchRequest): boolean {
  const { bindings, own } = condition;
  if (bindings.length > 0 && !bindings.some((shared) => isTrue(shared, condition, request))) return false;
  return own === null || isTrue(own, condition, request);
}

/** A filter that faults does not match; the fault is counted for the subscription. */
function isTrue(shared: SharedFilter, condition: Condition, request: MatchRequest): boolean {
  if (shared.tick !== request.tick) {
    shared.tick = request.tick;
    shared.outcome = shared.filter.evaluate(request.subject);
  }
  const { outcome } = shared;
  if (outcome.kind === "fault") {
    request.faults.record({
      subscriptionId: condition.target.id,
      eventId: request.event.id,
      reason: outcome.reason,
    });
  }
  return outcome.kind === "match";
}

function ascending(left: number, right: number): number {
  return left - right;
}
