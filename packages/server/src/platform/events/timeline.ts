/**
 * The story of one event in time order: accepted; matched by which subscriptions, or why by none; queued; each attempt;
 * the end of each job. Everything is read from what the stages stored; nothing is recorded for it.
 *
 * Why nothing matched is judged by the subscriptions as they are now, and only once the stream has passed the event. Of
 * an event the stream has set aside its reason is told.
 * At most `jobsMax` jobs and `attemptsPerJobMax` attempts of each are shown; `truncated` says that there are more.
 */

import type { Timeline, TimelineEntry } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { DispatchJob } from "../../domain/dispatch-job.ts";
import { matchesPattern, parsePattern } from "../../domain/event-type-pattern.ts";
import type { EventRecord } from "../../domain/event.ts";
import { createFilterCompiler, FilterEvent, type FilterCompiler, type FilterSubject } from "../../domain/filter.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import { nearestPattern } from "../../domain/subscription-index.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { PoisonEvent } from "../../ports/event-log.ts";
import type { StoredAttempt } from "../../ports/job-store.ts";
import type { PlatformDeps } from "../platform-deps.ts";

type TimelineDeps = Pick<PlatformDeps, "jobs" | "subscriptionReader" | "jobAppender">;

const jobsMax = 200;
const attemptsPerJobMax = 100;
const reasonsMax = 20;

interface Timed {
  readonly atMs: number;
  readonly entry: Omit<TimelineEntry, "at">;
}

export function createTimeline(deps: TimelineDeps): (event: EventRecord, scope: Scope) => Promise<Timeline> {
  // Made when the first timeline is asked for: setting the language up takes a while.
  let compiler: FilterCompiler | null = null;
  return async (event, scope) => {
    // Asked before the jobs are read: the stream makes an event's jobs in the commit that passes it, so whoever finds
    // it passed and then no jobs knows that nothing matched.
    const isPassed = await passed(deps, event);
    const jobs = await deps.jobs.byEvent(event.id, { limit: jobsMax, cursor: null }, scope);
    const accepted: Timed = { atMs: event.createdAtMs, entry: { kind: "ACCEPTED", message: acceptedText(event) } };
    const timed: Timed[] = [accepted];
    let truncated = jobs.nextCursor !== null;
    for (const job of jobs.items) {
      const page = await deps.jobs.attempts(job.id, { limit: attemptsPerJobMax, cursor: null }, scope);
      truncated ||= page.nextCursor !== null;
      timed.push(...jobEntries(job, page.items));
    }
    // A task may name an event that nothing matched.
    if (!jobs.items.some(({ kind }) => kind === "EVENT") && isPassed) {
      const poison = await deps.jobAppender.poisonAt(event.position);
      if (poison !== null) timed.push(poisonEntry(poison));
      else {
        compiler ??= createFilterCompiler();
        const reasons = whyNothingMatched(event, await readable(deps, scope), compiler);
        timed.push(...reasons.map((entry) => ({ atMs: event.createdAtMs, entry })));
      }
    }
    // The sort is stable: what happened in the same millisecond stays in the order of the pipeline.
    const entries = timed
      .toSorted((a, b) => a.atMs - b.atMs)
      .map(({ atMs, entry }) => ({ at: isoTime(atMs), ...entry }));
    return { eventId: event.id, entries, truncated };
  };
}

/** What made the event poison would make judging it here fail too, so the stream's word is told instead. */
function poisonEntry({ reason, atMs }: PoisonEvent): Timed {
  return { atMs, entry: { kind: "NOT_MATCHED", message: `Set aside, because it could not be matched: ${reason}.` } };
}

function acceptedText(event: EventRecord): string {
  const group = event.messageGroup === null ? "" : `, group ${event.messageGroup}`;
  return `Accepted ${event.type} from ${event.source}${group}.`;
}

async function passed({ jobAppender }: TimelineDeps, event: EventRecord): Promise<boolean> {
  return (await jobAppender.checkpoint()).position >= event.position;
}

async function readable({ subscriptionReader }: TimelineDeps, scope: Scope): Promise<readonly Subscription[]> {
  return (await subscriptionReader.matching()).filter(({ clientId }) => canRead(scope, clientId));
}

function jobEntries(job: DispatchJob, attempts: readonly StoredAttempt[]): Timed[] {
  const of = { jobId: job.id, ...(job.subscriptionId === null ? {} : { subscriptionId: job.subscriptionId }) };
  const made = job.kind === "TASK" ? "A task names it" : `Matched by subscription ${job.subscriptionId ?? "unknown"}`;
  const entries: Timed[] = [
    {
      atMs: job.createdAtMs,
      entry: { kind: "MATCHED", message: `${made}, to ${job.profile.targetUrl}.`, ...of },
    },
  ];
  if (job.queuedAtMs !== null) {
    entries.push({ atMs: job.queuedAtMs, entry: { kind: "QUEUED", message: "Published to the queue.", ...of } });
  }
  for (const attempt of attempts.toReversed()) entries.push(attemptEntry(attempt, of));
  if (job.finishedAtMs !== null) {
    const message = `${job.status}${job.lastError === null ? "" : `: ${job.lastError}`}.`;
    entries.push({ atMs: job.finishedAtMs, entry: { kind: "FINAL", message, status: job.status, ...of } });
  }
  return entries;
}

function attemptEntry(attempt: StoredAttempt, of: Pick<TimelineEntry, "jobId" | "subscriptionId">): Timed {
  const answer = attempt.statusCode === null ? (attempt.error ?? "no answer") : `HTTP ${attempt.statusCode}`;
  return {
    atMs: attempt.startedAtMs,
    entry: {
      kind: "ATTEMPT",
      message: `Attempt ${attempt.number}: ${attempt.outcome}, ${answer}.`,
      attempt: attempt.number,
      outcome: attempt.outcome,
      durationMs: attempt.durationMs,
      ...(attempt.statusCode === null ? {} : { statusCode: attempt.statusCode }),
      ...of,
    },
  };
}

type Entry = Omit<TimelineEntry, "at">;

function whyNothingMatched(event: EventRecord, all: readonly Subscription[], compiler: FilterCompiler): Entry[] {
  const ofType = all.filter((subscription) => patternsMatch(subscription, event.type).length > 0);
  if (ofType.length === 0) return [{ kind: "NOT_MATCHED", message: noPatternText(event, all) }];
  const subject = subjectOf(event);
  return ofType.slice(0, reasonsMax).map((subscription) => ({
    kind: "NOT_MATCHED",
    message: `${subscription.name}: ${reasonOf(subscription, { event, subject, compiler })}`,
    subscriptionId: subscription.id,
  }));
}

function noPatternText(event: EventRecord, all: readonly Subscription[]): string {
  const patterns = all.flatMap(({ eventTypes }) => eventTypes.map(({ pattern }) => pattern));
  const nearest = nearestPattern(event.type, patterns);
  const hint = nearest === null ? "There are no subscriptions." : `The nearest pattern is ${nearest}.`;
  return `No subscription matches ${event.type}. ${hint}`;
}

interface Judgement {
  readonly event: EventRecord;
  readonly subject: FilterSubject;
  readonly compiler: FilterCompiler;
}

function reasonOf(subscription: Subscription, { event, subject, compiler }: Judgement): string {
  if (subscription.clientId !== null && subscription.clientId !== event.clientId) return "belongs to another client.";
  const bindings = patternsMatch(subscription, event.type);
  const filters = [subscription.filter, ...bindings.map(({ filter }) => filter)];
  for (const source of filters) {
    if (source === null) continue;
    const compiled = compiler.compile(source);
    if (compiled.kind === "invalid") return `its filter cannot be read: ${compiled.reason}.`;
    const outcome = compiled.filter.evaluate(subject);
    if (outcome.kind === "fault") return `its filter failed on this event: ${outcome.reason}.`;
    if (outcome.kind === "noMatch") return `its filter is false: ${source}`;
  }
  return "matches now, but did not when the event passed.";
}

function patternsMatch(subscription: Subscription, type: string): Subscription["eventTypes"] {
  return subscription.eventTypes.filter(({ pattern }) => {
    const parsed = parsePattern(pattern);
    return parsed.kind === "valid" && matchesPattern(parsed.pattern, type);
  });
}

function subjectOf(event: EventRecord): FilterSubject {
  const { data, dataKind } = event;
  const value: unknown = data !== null && dataKind === "json" ? JSON.parse(data) : data;
  return { event: new FilterEvent(event), data: value, dataBytes: data === null ? 0 : Buffer.byteLength(data) };
}
