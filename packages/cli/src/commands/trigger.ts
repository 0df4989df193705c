import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import type { CreateEvent, TimelineEntry } from "@flowcatalyst/sdk";
import { positiveInteger, readJson } from "../arguments.ts";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";
import { timelineUntil } from "../event-timeline.ts";
import { oneLine } from "../terminal.ts";

interface TriggerOptions {
  readonly data?: string;
  readonly group?: string;
  readonly wait: number;
}

/** `job_` and 13 characters. */
const jobIdWidth = 17;
const msPerSecond = 1_000;

/** `trigger TYPE`. */
export function addTriggerCommand(program: Command, environment: Environment): void {
  const trigger = program
    .command("trigger")
    .summary("publish a sample event and follow its deliveries")
    .description(
      "Publishes a sample event of a type and shows what happens to it until every delivery is final.\n" +
        "Exits 0 only if something matched and everything was delivered. With --json: one document per line.",
    )
    .argument("<type>", "event type, e.g. order.created")
    .option("-d, --data <json>", "the data; a small sample if absent; @FILE reads a file, - reads standard input")
    .option("-g, --group <group>", "message group")
    .option("-w, --wait <seconds>", "how long to follow it", positiveInteger, 60)
    .action(async (type: string, options: TriggerOptions, command: Command) => {
      const context = contextOf(command, environment);
      const data = options.data === undefined ? sample(type) : await readJson(options.data, environment);
      const group = options.group === undefined ? {} : { messageGroup: options.group };
      const waitMs = options.wait * msPerSecond;
      process.exitCode = await follow(context, { type, source: "cli", data, ...group }, waitMs);
    });
  withExamples(trigger, [
    "flowcatalyst trigger order.created",
    `flowcatalyst trigger order.created --data '{"orderId":"123"}' --wait 10`,
  ]);
}

/** Prints what happens to an event as it happens. */
async function follow(context: CommandContext, event: CreateEvent, waitMs: number): Promise<number> {
  const { client, terminal } = context;
  const { id } = await client.publish(event);
  const shown = new Set<string>();
  const show = (entry: TimelineEntry): void => {
    // By content, not by place: an entry may turn up before others of the same millisecond.
    const key = JSON.stringify(entry);
    if (shown.has(key)) return;
    shown.add(key);
    const job = (entry.jobId ?? "-").padEnd(jobIdWidth);
    terminal.answer(entry, () => `${entry.at}  ${entry.kind.padEnd(11)}  ${job}  ${oneLine(entry.message)}`);
  };
  const entries = await timelineUntil(context, id, {
    waitMs,
    done: (seen) => {
      for (const entry of seen) show(entry);
      return isOver(seen);
    },
  });
  context.signal.throwIfAborted();
  if (!isOver(entries)) {
    terminal.note(`still under way; see: flowcatalyst events timeline ${id}`);
    return exitCodes.failed;
  }
  const finals = entries.filter(({ kind }) => kind === "FINAL");
  const delivered = finals.length > 0 && finals.every(({ status }) => status === "COMPLETED");
  return delivered ? exitCodes.ok : exitCodes.failed;
}

function isOver(entries: readonly TimelineEntry[]): boolean {
  const count = (wanted: TimelineEntry["kind"]): number => entries.filter(({ kind }) => kind === wanted).length;
  return count("NOT_MATCHED") > 0 || (count("MATCHED") > 0 && count("FINAL") >= count("MATCHED"));
}

function sample(type: string): unknown {
  return { sample: true, type, at: new Date().toISOString() };
}
