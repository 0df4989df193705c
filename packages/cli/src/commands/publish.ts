import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import type { CreateEvent, TimelineEntry } from "@flowcatalyst/sdk";
import { positiveInteger, readJson } from "../arguments.ts";
import { contextOf, usageError, withExamples, type CommandContext, type Environment } from "../context.ts";
import { timelineUntil } from "../event-timeline.ts";
import { oneLine } from "../terminal.ts";

interface PublishOptions {
  readonly data?: string;
  readonly source: string;
  readonly subject?: string;
  readonly group?: string;
  readonly correlation?: string;
  readonly dedup?: string;
  readonly client?: string;
  readonly count: number;
}

const matchWaitMs = 3_000;
const batchSize = 500;

/** `publish TYPE`. */
export function addPublishCommand(program: Command, environment: Environment): void {
  const publish = program
    .command("publish")
    .summary("publish an event")
    .description("Publishes an event and says which subscriptions it matched, or which pattern came near.")
    .argument("<type>", "event type, e.g. order.created")
    .option("-d, --data <json>", "the data; @FILE reads a file, - reads standard input")
    .option("-s, --source <source>", "who emits it", "cli")
    .option("--subject <subject>", "what it is about")
    .option("-g, --group <group>", "message group: order is kept within it")
    .option("--correlation <id>", "correlation id")
    .option("--dedup <id>", "deduplication id: the same one again makes no second event")
    .option("--client <id>", "client (tenant)")
    .option("--count <n>", "publish it this many times", positiveInteger, 1)
    .action(async (type: string, options: PublishOptions, command: Command) => {
      const context = contextOf(command, environment);
      if (options.count > 1 && options.dedup !== undefined) throw usageError("--dedup makes one event of --count many");
      const data = options.data === undefined ? undefined : await readJson(options.data, environment);
      const event = eventOf(type, { options, data });
      process.exitCode =
        options.count > 1 ? await publishMany(context, event, options.count) : await publishOne(context, event);
    });
  withExamples(publish, [
    `flowcatalyst publish order.created --data '{"orderId":"123"}'`,
    `flowcatalyst publish order.created --data '{"orderId":"123"}' --group order-123 --source shop`,
    `echo '{"orderId":"124"}' | flowcatalyst publish order.created --data -`,
    `flowcatalyst publish order.created --count 100`,
  ]);
}

function eventOf(type: string, given: { options: PublishOptions; data: unknown }): CreateEvent {
  const { options, data } = given;
  return {
    type,
    source: options.source,
    data,
    ...(options.subject === undefined ? {} : { subject: options.subject }),
    ...(options.group === undefined ? {} : { messageGroup: options.group }),
    ...(options.correlation === undefined ? {} : { correlationId: options.correlation }),
    ...(options.dedup === undefined ? {} : { deduplicationId: options.dedup }),
    ...(options.client === undefined ? {} : { clientId: options.client }),
  };
}

async function publishOne(context: CommandContext, event: CreateEvent): Promise<number> {
  const { client, terminal } = context;
  const created = await client.publish(event);
  const entries = await timelineUntil(context, created.id, {
    done: (seen) => seen.some(isMatching),
    waitMs: matchWaitMs,
  });
  const matching = entries.filter(isMatching);
  terminal.answer({ event: created, matching }, () => {
    const lines = matching.map(({ kind, message }) =>
      kind === "NOT_MATCHED" ? terminal.paint("yellow", oneLine(message)) : oneLine(message),
    );
    if (matching.length === 0) lines.push(`not matched yet; see: flowcatalyst events timeline ${created.id}`);
    return [`${created.id} accepted`, ...lines].join("\n");
  });
  return exitCodes.ok;
}

function isMatching({ kind }: TimelineEntry): boolean {
  return kind === "MATCHED" || kind === "NOT_MATCHED";
}

async function publishMany(context: CommandContext, event: CreateEvent, count: number): Promise<number> {
  const { client, terminal, signal } = context;
  let accepted = 0;
  while (accepted < count && !signal.aborted) {
    const size = Math.min(batchSize, count - accepted);
    const answer = await client.publishBatch(Array.from({ length: size }, () => event));
    accepted += answer.length;
    if (count > batchSize && !terminal.json) terminal.note(`${accepted} of ${count}`);
  }
  terminal.answer({ accepted }, () => `${accepted} events accepted`);
  return accepted === count ? exitCodes.ok : exitCodes.failed;
}
