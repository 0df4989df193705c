import type { DeliveryProfile, NewEventJob } from "../domain/dispatch-job.ts";
import { eventGroupKey } from "../domain/group-key.ts";
import type { IdSource, SubscriptionId } from "../domain/ids.ts";
import type { FeedEvent, PoisonEvent } from "../ports/event-log.ts";
import type { StreamCheckpoint } from "../ports/job-appender.ts";
import type { Matcher, MatchTarget } from "./matcher.ts";

/**
 * What one pass makes of the events it has read: jobs, poison, and how far that goes. Pure but for the ids.
 *
 * Events are taken whole as long as their jobs fit into the pass. One that does not fit waits for the next pass; one
 * that would not fit into any pass is spread over several: the checkpoint then stays before it and counts how many of
 * its jobs exist, and the keys of all profiles it matched are kept with the checkpoint, so that neither a changed
 * subscription nor a restart can shift the counting.
 *
 * An event that cannot be matched (its data is called JSON and is not) is set aside with the reason. Nothing else makes
 * an event poison: no store is asked in here, so whatever is thrown comes from the event itself.
 */
export interface FanOutResult {
  readonly jobs: readonly NewEventJob[];
  readonly poison: readonly PoisonEvent[];
  readonly to: StreamCheckpoint;
  readonly frozenProfiles: readonly DeliveryProfile[];
  /** Events passed for good, poison included. */
  readonly events: number;
  /** Events were left over. */
  readonly more: boolean;
}

export interface FanOutInput {
  readonly events: readonly FeedEvent[];
  readonly from: StreamCheckpoint;
  readonly matcher: Matcher;
  /** What the half-done event matched, if the checkpoint is in the middle of one. Null: that profile is gone. */
  readonly frozen: readonly (DeliveryProfile | null)[];
  readonly ids: Pick<IdSource, "job">;
  readonly nowMs: number;
  readonly maxJobs: number;
}

/** What a job takes from its subscription. */
type JobMaker = Pick<MatchTarget, "profile" | "delayMs">;

interface Progress {
  readonly jobs: NewEventJob[];
  readonly poison: PoisonEvent[];
  to: StreamCheckpoint;
  frozenProfiles: readonly DeliveryProfile[];
  events: number;
}

export function fanOut(input: FanOutInput): FanOutResult {
  const progress: Progress = { jobs: [], poison: [], to: input.from, frozenProfiles: [], events: 0 };
  for (const event of input.events) {
    if (!takeEvent(event, input, progress)) return { ...progress, more: true };
  }
  return { ...progress, more: false };
}

/** False: the pass is full. */
function takeEvent(event: FeedEvent, input: FanOutInput, progress: Progress): boolean {
  const resumed = progress.events === 0 && input.from.ordinal > 0;
  let makers: readonly (JobMaker | null)[];
  try {
    makers = resumed ? frozenMakers(input) : input.matcher.match(event);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    progress.poison.push({ position: event.position, eventId: event.id, reason, atMs: input.nowMs });
    pass(event, progress);
    return true;
  }
  const done = resumed ? input.from.ordinal : 0;
  const room = input.maxJobs - progress.jobs.length;
  const fits = makers.length - done <= room;
  // Only an event that has the pass to itself is spread.
  if (!fits && progress.events > 0) return false;
  const end = fits ? makers.length : done + room;
  for (let ordinal = done; ordinal < end; ordinal++) {
    const maker = makers[ordinal];
    if (maker) progress.jobs.push(makeJob(event, maker, input));
  }
  if (fits) {
    pass(event, progress);
    return true;
  }
  const profiles = makers.flatMap((maker) => (maker === null ? [] : [maker.profile]));
  const frozenProfileKeys = resumed ? input.from.frozenProfileKeys : profiles.map(({ key }) => key);
  progress.to = { position: input.from.position, ordinal: end, frozenProfileKeys };
  if (!resumed) progress.frozenProfiles = profiles.slice(end);
  return false;
}

function pass(event: FeedEvent, progress: Progress): void {
  progress.events++;
  progress.to = { position: event.position, ordinal: 0, frozenProfileKeys: [] };
}

/**
 * The frozen profiles, with the delay of the subscription as it is now: the delay is no part of a profile. Of an
 * archived subscription nothing is known any more, and its jobs are cancelled anyway.
 */
function frozenMakers({ frozen, matcher }: FanOutInput): (JobMaker | null)[] {
  const delayMs = (id: SubscriptionId | null): number => (id === null ? 0 : (matcher.targets.get(id)?.delayMs ?? 0));
  return frozen.map((profile) => profile && { profile, delayMs: delayMs(profile.subscriptionId) });
}

function makeJob(event: FeedEvent, { profile, delayMs }: JobMaker, { ids, nowMs }: FanOutInput): NewEventJob {
  const { subscriptionId, mode } = profile;
  return {
    kind: "EVENT",
    id: ids.job(),
    clientId: event.clientId,
    eventId: event.id,
    eventPosition: event.position,
    code: event.type,
    messageGroup: event.messageGroup,
    groupKey: subscriptionId === null ? null : eventGroupKey(subscriptionId, mode, event.messageGroup),
    profile,
    // An event from the future was stamped before the clock was set back: it does not wait for that time to come again.
    dueAtMs: Math.min(event.createdAtMs, nowMs) + delayMs,
    payloadBytes: event.dataBytes,
    createdAtMs: nowMs,
  };
}
