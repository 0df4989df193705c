import { InvalidArgumentError, type Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import type { CreateEvent, TimelineEntry } from "@flowcatalyst/contracts";
import type { FlowCatalystClient } from "@flowcatalyst/sdk";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";

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
const followWaitMs = 60_000;
const pollEveryMs = 50;
const batchSize = 500;

/** `publish TYPE` and `trigger TYPE`. */
export function addPublishCommands(program: Command, environment: Environment): void {
  const publish = program
    .command("publish")
    .summary("publish an event")
    .description("Publishes an event and says which subscriptions it matched.")
    .argument("<type>", "event type, e.g. order.created")
    .option("-d, --data <json>", "the data; @FILE reads a file, - reads standard input")
    .option("-s, --source <source>", "who emits it", "cli")
    .option("--subject <subject>", "what it is about")
    .option("-g, --group <group>", "message group: order is kept within it")
    .option("--correlation <id>", "correlation id")
    .option("--dedup <id>", "deduplication id: the same one again makes no second event")
    .option("--client <id>", "client (tenant)")
    .option("-n, --count <n>", "publish it this many times", positiveInteger, 1)
    .action(async (type: string, options: PublishOptions, command: Command) => {
      const context = contextOf(command, environment);
      const data = await readData(options.data, environment);
      const event = eventOf(type, { options, data });
      process.exitCode =
        options.count > 1 ? await publishMany(context, event, options.count) : await publishOne(context, event);
    });
  withExamples(publish, [
    `flowcatalyst publish order.created --data '{"orderId":"123"}'`,
    `flowcatalyst publish order.created --data '{"orderId":"123"}' --group order-123 --source shop`,
    `flowcatalyst publish order.created --count 100 --json`,
  ]);

  const trigger = program
    .command("trigger")
    .summary("publish a sample event and follow its deliveries")
    .description("Publishes a sample event of a type and shows each delivery attempt until all are final.")
    .argument("<type>", "event type, e.g. order.created")
    .option("-d, --data <json>", "the data; a small sample if absent")
    .option("-g, --group <group>", "message group")
    .action(async (type: string, options: { data?: string; group?: string }, command: Command) => {
      const context = contextOf(command, environment);
      const data = options.data === undefined ? sample(type) : await readData(options.data, environment);
      const more = options.group === undefined ? {} : { messageGroup: options.group };
      process.exitCode = await follow(context, { type, source: "cli", data, ...more });
    });
  withExamples(trigger, ["flowcatalyst trigger order.created", "flowcatalyst trigger order.created --json"]);
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
  const matched = await timelineUntil(client, created.id, {
    done: (entries) => entries.some((entry) => entry.kind === "MATCHED" || entry.kind === "NOT_MATCHED"),
    waitMs: matchWaitMs,
  });
  const matching = matched.filter((entry) => entry.kind === "MATCHED" || entry.kind === "NOT_MATCHED");
  terminal.answer({ event: created, matching }, () => {
    const lines = [`${created.id} accepted`];
    for (const entry of matching) lines.push(entry.message);
    if (matching.length === 0) lines.push("not matched yet; see: flowcatalyst events timeline " + created.id);
    return lines.join("\n");
  });
  return exitCodes.ok;
}

async function publishMany(context: CommandContext, event: CreateEvent, count: number): Promise<number> {
  let accepted = 0;
  while (accepted < count && !context.signal.aborted) {
    const size = Math.min(batchSize, count - accepted);
    const events = Array.from({ length: size }, () => ({ ...event, deduplicationId: null }));
    accepted += (await context.client.publishBatch(events)).length;
    if (count > batchSize) context.terminal.note(`${accepted} of ${count}`);
  }
  context.terminal.answer({ accepted }, () => `${accepted} events accepted`);
  return accepted === count ? exitCodes.ok : exitCodes.failed;
}

/** Prints what happens to an event as it happens; fails if a delivery failed or nothing matched. */
async function follow(context: CommandContext, event: CreateEvent): Promise<number> {
  const { client, terminal } = context;
  const { id } = await client.publish(event);
  let shown = 0;
  let matched = 0;
  let finals: TimelineEntry[] = [];
  await timelineUntil(client, id, {
    waitMs: followWaitMs,
    done: (entries) => {
      for (const entry of entries.slice(shown)) {
        terminal.answer(entry, () => `${entry.at}  ${entry.kind.padEnd(11)}  ${entry.message}`);
      }
      shown = entries.length;
      matched = entries.filter((entry) => entry.kind === "MATCHED").length;
      finals = entries.filter((entry) => entry.kind === "FINAL");
      return entries.some((entry) => entry.kind === "NOT_MATCHED") || (matched > 0 && finals.length >= matched);
    },
  });
  if (finals.length < matched) {
    terminal.note(`still under way; see: flowcatalyst events timeline ${id}`);
    return exitCodes.failed;
  }
  return matched > 0 && finals.every((entry) => entry.status === "COMPLETED") ? exitCodes.ok : exitCodes.failed;
}

async function timelineUntil(
  client: FlowCatalystClient,
  eventId: string,
  until: { done: (entries: readonly TimelineEntry[]) => boolean; waitMs: number },
): Promise<readonly TimelineEntry[]> {
  const deadline = performance.now() + until.waitMs;
  for (;;) {
    const { entries } = await client.events.timeline(eventId);
    if (until.done(entries) || performance.now() > deadline) return entries;
    await Bun.sleep(pollEveryMs);
  }
}

/** JSON text, `@FILE`, or `-` for standard input. */
export async function readData(given: string | undefined, environment: Environment): Promise<unknown> {
  if (given === undefined) return undefined;
  const text =
    given === "-"
      ? await environment.readInput()
      : given.startsWith("@")
        ? await Bun.file(given.slice(1)).text()
        : given;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidArgumentError(`the data is not valid JSON: ${reason}`);
  }
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("must be a whole number above 0");
  return value;
}

function sample(type: string): unknown {
  return { sample: true, type, at: new Date().toISOString() };
}
