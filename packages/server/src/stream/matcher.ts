import { profileOf } from "../domain/delivery-profile.ts";
import type { DeliveryProfile } from "../domain/dispatch-job.ts";
import { FilterEvent } from "../domain/filter.ts";
import type { CompiledFilter, FilterCompiler, FilterOutcome, FilterSubject } from "../domain/filter.ts";
import type { ClientId, SubscriptionId } from "../domain/ids.ts";
import { createSubscriptionIndex, type Candidate, type Indexable } from "../domain/subscription-index.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { FeedEvent } from "../ports/event-log.ts";
import type { FilterFaultLog } from "./filter-faults.ts";
import { createMatchPlan, type MatchPlan, type SharedFilter } from "./match-plan.ts";

/**
 * One set of subscriptions, ready to say which of them an event goes to.
 *
 * The index finds the candidates of a type; what their filters need is worked out once per answer of the index and
 * kept with it (a plan). For the usual event, whose candidates have no filters, a match is two map look-ups and
 * allocates nothing. Filters with the same text are compiled once and evaluated once per event, however many
 * subscriptions share them.
 *
 * A matcher never changes. A changed set of subscriptions is a new matcher; what has not changed is taken over.
 */
export interface Matcher {
  /** In order of subscription id; shared, not to be changed. Throws if the event's data is needed and unreadable. */
  match(event: FeedEvent): readonly MatchTarget[];
  /** Must the event be read with its data to be matched? */
  needsData(event: Pick<FeedEvent, "type" | "clientId">): boolean;
  /** False: no filter of any subscription looks at data. */
  readonly mayNeedData: boolean;
  readonly targets: ReadonlyMap<SubscriptionId, MatchTarget>;
  /** Compiled filters by their text, for the next matcher. */
  readonly filters: ReadonlyMap<string, SharedFilter>;
  readonly invalidBindings: number;
}

/** A subscription as matching and job making need it. */
export interface MatchTarget extends Indexable {
  readonly version: number;
  readonly profile: DeliveryProfile;
  readonly delayMs: number;
  /** Applies whichever pattern matched. */
  readonly filter: string | null;
}

export interface MatcherDeps {
  readonly compiler: FilterCompiler;
  readonly faults: FilterFaultLog;
}

const msPerSecond = 1_000;

/** `previous` lends what it has compiled; ten thousand subscriptions are ready in some tens of milliseconds. */
export function createMatcher(
  deps: MatcherDeps,
  subscriptions: readonly Subscription[],
  previous: Matcher | null = null,
): Matcher {
  const targets = new Map<SubscriptionId, MatchTarget>();
  for (const subscription of subscriptions) {
    const known = previous?.targets.get(subscription.id);
    targets.set(subscription.id, known?.version === subscription.version ? known : targetOf(subscription));
  }
  const filters = compileAll(deps.compiler, targets.values(), previous);
  const index = createSubscriptionIndex([...targets.values()]);
  const plans = new WeakMap<readonly Candidate<MatchTarget>[], MatchPlan>();
  const planOf = (type: string, clientId: ClientId | null): MatchPlan => {
    const candidates = index.candidates(type, clientId);
    let plan = plans.get(candidates);
    if (plan === undefined) plans.set(candidates, (plan = createMatchPlan(candidates, filters)));
    return plan;
  };
  let tick = 0;
  return {
    targets,
    filters,
    invalidBindings: index.invalidBindings,
    mayNeedData: [...filters.values()].some(({ filter }) => filter.usesData),
    needsData: (event) => planOf(event.type, event.clientId).needsData,
    match(event) {
      const plan = planOf(event.type, event.clientId);
      if (plan.unconditional !== null) return plan.unconditional;
      tick++;
      return plan.select({ subject: subjectOf(event, plan.needsData), event, tick, faults: deps.faults });
    },
  };
}

function targetOf(subscription: Subscription): MatchTarget {
  return {
    id: subscription.id,
    clientId: subscription.clientId,
    eventTypes: subscription.eventTypes,
    version: subscription.version,
    profile: profileOf(subscription),
    delayMs: subscription.delaySeconds * msPerSecond,
    filter: subscription.filter,
  };
}

function compileAll(
  compiler: FilterCompiler,
  targets: Iterable<MatchTarget>,
  previous: Matcher | null,
): Map<string, SharedFilter> {
  const filters = new Map<string, SharedFilter>();
  const add = (source: string | null): void => {
    if (source === null || filters.has(source)) return;
    const shared = previous?.filters.get(source) ?? { filter: compileOne(compiler, source), tick: 0, outcome: unset };
    // A new matcher counts from 1 again, and must not take an old answer for its own.
    shared.tick = 0;
    filters.set(source, shared);
  };
  for (const target of targets) {
    add(target.filter);
    for (const binding of target.eventTypes) add(binding.filter);
  }
  return filters;
}

const unset: FilterOutcome = { kind: "noMatch" };

/** A filter is checked when it is saved; one that no longer compiles must show, and must not stop the stream. */
function compileOne(compiler: FilterCompiler, source: string): CompiledFilter {
  const compilation = compiler.compile(source);
  if (compilation.kind === "valid") return compilation.filter;
  const fault: FilterOutcome = { kind: "fault", reason: `the filter is not valid: ${compilation.reason}` };
  return { source, usesData: false, cost: { linear: 0, quadratic: 0 }, guard: null, evaluate: () => fault };
}

/** Throws SyntaxError for data that is called JSON and is not. */
function subjectOf(event: FeedEvent, withData: boolean): FilterSubject {
  const parsed: unknown =
    withData && event.data !== null && event.dataKind === "json" ? JSON.parse(event.data) : event.data;
  return { event: new FilterEvent(event), data: parsed, dataBytes: event.dataBytes };
}
