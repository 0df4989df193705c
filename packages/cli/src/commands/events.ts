import type { Command } from "commander";
import type { Event } from "@flowcatalyst/sdk";
import { positiveInteger, wholeNumber } from "../arguments.ts";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";
import { details } from "../terminal.ts";

interface EventListOptions {
  readonly type?: readonly string[];
  readonly source?: string;
  readonly subject?: string;
  readonly group?: string;
  readonly correlation?: string;
  readonly client?: string;
  readonly after?: string;
  readonly before?: string;
  readonly text?: string;
  readonly page: number;
  readonly limit: number;
  readonly all?: boolean;
}

/** As far as the search counts exactly; more is an export. */
const allMaxItems = 10_000;
const pageMaxItems = 100;

/** `events …`. */
export function addEventCommands(program: Command, environment: Environment): void {
  const group = program
    .command("events")
    .summary("what was accepted, and what became of it")
    .description("Events: what was accepted, and what became of it.");
  addList(group, environment);
  const get = group
    .command("get")
    .summary("show one")
    .argument("<id>")
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const event = await client.events.get(id);
      terminal.answer(event, () => details(event));
    });
  withExamples(get, ["flowcatalyst events get <event-id>"]);

  const timeline = group
    .command("timeline")
    .summary("what happened to one: matched, queued, each attempt, final")
    .argument("<id>")
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const answer = await client.events.timeline(id);
      terminal.answer(answer, () =>
        terminal.table(
          ["AT", "WHAT", "JOB", "MORE"],
          answer.entries.map((entry) => [entry.at, entry.kind, entry.jobId, entry.message]),
        ),
      );
      if (answer.truncated && !terminal.json) terminal.note(`there is more: flowcatalyst jobs list --event ${id}`);
    });
  withExamples(timeline, ["flowcatalyst events timeline <event-id>"]);
}

function addList(group: Command, environment: Environment): void {
  const list = group
    .command("list")
    .summary("search events, newest first")
    .option("-t, --type <pattern...>", "type; * is a wildcard")
    .option("--source <source>", "source")
    .option("--subject <subject>", "subject")
    .option("-g, --group <group>", "message group")
    .option("--correlation <id>", "correlation id")
    .option("--client <id>", "client (tenant)")
    .option("--after <time>", "not older than this (RFC 3339)")
    .option("--before <time>", "older than this (RFC 3339)")
    .option("--text <text>", "text in the data; of the last 24 h unless --after says otherwise")
    .option("-n, --limit <n>", "how many a page, at most 100", positiveInteger, 20)
    .option("--page <n>", "which page, from 0", wholeNumber, 0)
    .option("--all", `all pages, up to ${allMaxItems} events`)
    .action(async (options: EventListOptions, command: Command) => {
      await search(contextOf(command, environment), options);
    });
  withExamples(list, [
    "flowcatalyst events list",
    "flowcatalyst events list --type 'order.*' --limit 5",
    "flowcatalyst events list --text 123 --all --json",
  ]);
}

async function search({ client, terminal, signal }: CommandContext, options: EventListOptions): Promise<void> {
  const fetch = (page: number, size: number) =>
    client.events.search({
      type: options.type,
      source: options.source,
      subject: options.subject,
      messageGroup: options.group,
      correlationId: options.correlation,
      clientId: options.client,
      timeAfter: options.after,
      timeBefore: options.before,
      q: options.text,
      page,
      size,
    });
  const first = await fetch(
    options.all === true ? 0 : options.page,
    options.all === true ? pageMaxItems : options.limit,
  );
  // By id: events accepted in the meantime move the others to later pages.
  const found = new Map<string, Event>(first.items.map((item) => [item.id, item]));
  let last = first;
  while (options.all === true && last.page + 1 < last.totalPages && found.size < allMaxItems && !signal.aborted) {
    last = await fetch(last.page + 1, pageMaxItems);
    for (const item of last.items) found.set(item.id, item);
  }
  const items = [...found.values()];
  const document = options.all === true ? { ...first, items, size: items.length, totalPages: 1 } : first;
  terminal.answer(document, () =>
    terminal.table(
      ["ID", "ACCEPTED", "TYPE", "GROUP", "SOURCE"],
      items.map((item) => [item.id, item.createdAt, item.type, item.messageGroup, item.source]),
    ),
  );
  if (terminal.json) return;
  const next = last.page + 1 < last.totalPages ? `; more: --page ${last.page + 1}, or --all` : "";
  terminal.note(`${items.length} of ${last.totalItems}${last.totalIsLowerBound === true ? " or more" : ""}${next}`);
}
