/**
 * Publishes numbered events over groups, each group strictly in order, repeating what was not answered. Events carry a
 * deduplicationId, so that a repeat after a lost answer makes no second event.
 */
export interface PublishPlan {
  /** Asked before each request, because a restarted server may be elsewhere. */
  readonly apiUrl: () => string;
  readonly type: string;
  readonly groups: number;
  readonly events: number;
  readonly batch: number;
  readonly connections: number;
  /** Told after each accepted batch how many there are in all. */
  readonly onAccepted?: (accepted: number) => void;
  /** How long one batch may be refused before that is a failure; a minute if absent. */
  readonly giveUpAfterMs?: number;
  /** Pause after each batch of a connection, so that the load lasts; asked each time. */
  readonly pauseMs?: () => number;
  /** Ends the load early, after the batches that are under way. */
  readonly signal?: AbortSignal;
}

const giveUpAfterMsDefault = 60_000;
/** A process that is frozen takes a connection and never answers. */
const answerWithinMs = 10_000;

export async function publishAll(plan: PublishPlan): Promise<number> {
  const places = Array.from({ length: plan.groups }, () => 0);
  let accepted = 0;
  const connection = async (index: number): Promise<void> => {
    const own: number[] = [];
    for (let group = index; group < plan.groups; group += plan.connections) own.push(group);
    const quota = own.reduce((sum, group) => sum + eventsOfGroup(plan, group), 0);
    let turn = 0;
    for (let sent = 0; sent < quota && plan.signal?.aborted !== true;) {
      const events = [];
      while (events.length < plan.batch && sent + events.length < quota) {
        const group = own[turn++ % own.length] ?? 0;
        const place = (places[group] ?? 0) + 1;
        if (place > eventsOfGroup(plan, group)) continue;
        places[group] = place;
        events.push(eventOf(plan.type, group, place));
      }
      await sendUntilAccepted(plan, events);
      if (plan.pauseMs !== undefined) await Bun.sleep(plan.pauseMs());
      sent += events.length;
      accepted += events.length;
      plan.onAccepted?.(accepted);
    }
  };
  await Promise.all(Array.from({ length: Math.min(plan.connections, plan.groups) }, (_, index) => connection(index)));
  return accepted;
}

export function eventOf(type: string, group: number, place: number): Record<string, unknown> {
  return {
    type,
    source: "test",
    messageGroup: `g${group}`,
    deduplicationId: `${type}.${group}.${place}`,
    data: { g: group, n: place },
  };
}

function eventsOfGroup(plan: PublishPlan, group: number): number {
  return Math.floor(plan.events / plan.groups) + (group < plan.events % plan.groups ? 1 : 0);
}

async function sendUntilAccepted(plan: PublishPlan, events: readonly unknown[]): Promise<void> {
  const { giveUpAfterMs = giveUpAfterMsDefault } = plan;
  const until = performance.now() + giveUpAfterMs;
  const body = JSON.stringify({ events });
  for (;;) {
    const refusal = await send(plan.apiUrl(), body);
    if (refusal === null) return;
    if (performance.now() > until) throw new Error(`not accepted for ${giveUpAfterMs / 1000} s: ${refusal}`);
    await Bun.sleep(20);
  }
}

/** Null when accepted; else why to try again. Throws when trying again is no use. */
async function send(apiUrl: string, body: string): Promise<string | null> {
  let response: Response;
  try {
    const headers = { "content-type": "application/json" };
    response = await fetch(`${apiUrl}/api/events/batch`, {
      method: "POST",
      headers,
      body,
      signal: AbortSignal.timeout(answerWithinMs),
    });
  } catch (error) {
    return String(error);
  }
  const text = await response.text().catch((error: unknown) => String(error));
  if (response.status === 201) return null;
  if (response.status >= 500) return `${response.status} ${text}`;
  throw new Error(`${response.status} ${text}`);
}
