import type { TimelineEntry } from "@flowcatalyst/sdk";
import type { CommandContext } from "./context.ts";
import { pause } from "./pause.ts";

const firstPollMs = 5;
const pollMaxMs = 200;

/** Looks at what happened to an event, again and again, until that is enough, the time is over, or Ctrl-C. */
export async function timelineUntil(
  { client, signal }: Pick<CommandContext, "client" | "signal">,
  eventId: string,
  until: { readonly done: (entries: readonly TimelineEntry[]) => boolean; readonly waitMs: number },
): Promise<readonly TimelineEntry[]> {
  const deadline = performance.now() + until.waitMs;
  for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, pollMaxMs)) {
    const { entries } = await client.events.timeline(eventId);
    if (until.done(entries) || performance.now() > deadline || signal.aborted) return entries;
    await pause(pollMs, signal);
  }
}
