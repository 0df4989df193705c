import type { Command } from "commander";
import { contextOf, withExamples, type Environment } from "../context.ts";
import { details, table } from "../terminal.ts";
import { positiveInteger } from "./publish.ts";

interface EventListOptions {
  readonly type?: string;
  readonly source?: string;
  readonly group?: string;
  readonly correlation?: string;
  readonly after?: string;
  readonly before?: string;
  readonly text?: string;
  readonly page?: string;
  readonly limit: number;
}

/** `events …`. */
export function addEventCommands(program: Command, environment: Environment): void {
  const group = program.command("events").summary("what was accepted").description("Events.");
  const list = group
    .command("list")
    .summary("search events, newest first")
    .option("--type <pattern>", "type; * is a wildcard")
    .option("--source <source>", "source")
    .option("--group <group>", "message group")
    .option("--correlation <id>", "correlation id")
    .option("--after <time>", "not older than this (RFC 3339)")
    .option("--before <time>", "older than this (RFC 3339)")
    .option("--text <text>", "text in the data")
    .option("--page <n>", "page, from 0")
    .option("-n, --limit <n>", "how many, at most 100", positiveInteger, 20)
    .action(async (options: EventListOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const page = await client.events.search({
        type: options.type,
        source: options.source,
        messageGroup: options.group,
        correlationId: options.correlation,
        timeAfter: options.after,
        timeBefore: options.before,
        q: options.text,
        page: options.page,
        size: options.limit,
      });
      terminal.answer(page, () => {
        const rows = page.items.map((item) => [item.id, item.createdAt, item.type, item.messageGroup, item.source]);
        const more = page.totalIsLowerBound ? "+" : "";
        return `${table(["ID", "ACCEPTED", "TYPE", "GROUP", "SOURCE"], rows)}\n${page.totalItems}${more} in all`;
      });
    });
  withExamples(list, ["flowcatalyst events list", "flowcatalyst events list --type 'order.*' --limit 5 --json"]);

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
      terminal.answer(answer, () => {
        const rows = answer.entries.map((entry) => [entry.at, entry.kind, entry.message]);
        return table(["AT", "WHAT", ""], rows);
      });
    });
  withExamples(timeline, ["flowcatalyst events timeline <event-id>"]);
}
