import type { Command } from "commander";
import { contextOf, withExamples, type Environment } from "../context.ts";
import { details, table } from "../terminal.ts";
import { positiveInteger } from "./publish.ts";
import { withMore } from "./subscriptions.ts";

interface JobListOptions {
  readonly status?: string;
  readonly subscription?: string;
  readonly event?: string;
  readonly group?: string;
  readonly code?: string;
  readonly cursor?: string;
  readonly limit: number;
}

/** `jobs …` and `groups …`. */
export function addJobCommands(program: Command, environment: Environment): void {
  const jobs = program.command("jobs").summary("deliveries owed and done").description("Dispatch jobs.");
  addJobReading(jobs, environment);
  for (const [action, summary] of [
    ["retry", "deliver a final job again, with a fresh budget"],
    ["cancel", "do not deliver it"],
  ] as const) {
    const command = jobs
      .command(action)
      .summary(summary)
      .argument("<id>")
      .action(async (id: string, _options: unknown, self: Command) => {
        const { client, terminal } = contextOf(self, environment);
        const job = await client.jobs[action](id);
        terminal.answer(job, () => `${job.id} is ${job.status}`);
      });
    withExamples(command, [`flowcatalyst jobs ${action} <job-id>`]);
  }
  addGroupCommands(program, environment);
}

function addJobReading(jobs: Command, environment: Environment): void {
  const list = jobs
    .command("list")
    .summary("list jobs, newest first")
    .option("--status <status>", "PENDING, QUEUED, COMPLETED, FAILED, CANCELLED or EXPIRED")
    .option("--subscription <id>", "of this subscription")
    .option("--event <id>", "of this event")
    .option("--group <group>", "of this message group")
    .option("--code <code>", "event type, or a task's code")
    .option("-n, --limit <n>", "how many", positiveInteger, 50)
    .option("--cursor <cursor>", "next page, from the answer before")
    .action(async (options: JobListOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const page = await client.jobs.list({
        status: options.status,
        subscriptionId: options.subscription,
        eventId: options.event,
        messageGroup: options.group,
        code: options.code,
        limit: options.limit,
        cursor: options.cursor,
      });
      terminal.answer(page, () => {
        const rows = page.items.map((job) => [
          job.id,
          job.status,
          job.attemptCount,
          job.code,
          job.targetUrl,
          job.lastError,
        ]);
        return withMore(table(["ID", "STATUS", "ATTEMPTS", "TYPE", "TARGET", "LAST ERROR"], rows), page.nextCursor);
      });
    });
  withExamples(list, ["flowcatalyst jobs list", "flowcatalyst jobs list --status FAILED --json"]);

  const get = jobs
    .command("get")
    .summary("show one")
    .argument("<id>")
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const job = await client.jobs.get(id);
      terminal.answer(job, () => details(job));
    });
  withExamples(get, ["flowcatalyst jobs get <job-id>"]);

  const attempts = jobs
    .command("attempts")
    .summary("every request that was made for one")
    .argument("<id>")
    .option("-n, --limit <n>", "how many", positiveInteger, 50)
    .option("--cursor <cursor>", "next page, from the answer before")
    .action(async (id: string, options: { limit: number; cursor?: string }, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const page = await client.jobs.attempts(id, { limit: options.limit, cursor: options.cursor });
      terminal.answer(page, () => {
        const rows = page.items.map((item) => [
          `${item.generation}.${item.number}`,
          item.startedAt,
          item.outcome,
          item.statusCode,
          `${Math.round(item.durationMs)} ms`,
          item.error,
        ]);
        return withMore(table(["ATTEMPT", "STARTED", "OUTCOME", "STATUS", "TOOK", "ERROR"], rows), page.nextCursor);
      });
    });
  withExamples(attempts, ["flowcatalyst jobs attempts <job-id>"]);
}

function addGroupCommands(program: Command, environment: Environment): void {
  const groups = program.command("groups").summary("message groups that are held").description("Message groups.");
  const list = groups
    .command("list")
    .summary("which groups are held, why, since when")
    .option("-n, --limit <n>", "how many", positiveInteger, 50)
    .option("--cursor <cursor>", "next page, from the answer before")
    .action(async (options: { limit: number; cursor?: string }, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const page = await client.groups.list({ limit: options.limit, cursor: options.cursor });
      terminal.answer(page, () => {
        const rows = page.items.map((item) => Object.values(item));
        const header = Object.keys(page.items[0] ?? { group: "" }).map((name) => name.toUpperCase());
        return withMore(table(header, rows), page.nextCursor);
      });
    });
  withExamples(list, ["flowcatalyst groups list"]);

  const unblock = groups
    .command("unblock")
    .summary("let a blocked group go on")
    .argument("<key>")
    .option("--retry", "deliver the failed head again (otherwise it is cancelled)")
    .action(async (key: string, options: { retry?: boolean }, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const action = options.retry === true ? "retry" : "skip";
      const answer = await client.groups.unblock(key, action);
      terminal.answer(
        answer,
        () => `${key}: ${action === "skip" ? "head skipped" : "head retried"}, the group goes on`,
      );
    });
  withExamples(unblock, ["flowcatalyst groups unblock '<group-key>' --retry"]);
}
