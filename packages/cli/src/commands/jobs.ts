import type { Command } from "commander";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import { contextOf, withExamples, type Environment } from "../context.ts";
import { printPages, withPaging, type PagingOptions } from "../paging.ts";
import { subscriptionNamed } from "../subscription-named.ts";
import { details, oneLine } from "../terminal.ts";

interface JobListOptions extends PagingOptions {
  readonly status?: readonly string[];
  readonly subscription?: string;
  readonly event?: string;
  readonly pool?: string;
  readonly group?: string;
  readonly code?: string;
}

/** `jobs …`. */
export function addJobCommands(program: Command, environment: Environment): void {
  const jobs = program
    .command("jobs")
    .summary("deliveries owed and done")
    .description("Dispatch jobs: one delivery each, owed or done.");
  addList(jobs, environment);
  addReading(jobs, environment);
  addActions(jobs, environment);
}

function addList(jobs: Command, environment: Environment): void {
  const list = withPaging(jobs.command("list"))
    .summary("list jobs, newest first")
    .option("--status <status...>", "PENDING, QUEUED, COMPLETED, FAILED, CANCELLED, EXPIRED")
    .option("--subscription <subscription>", "of this subscription: id, code or name")
    .option("--event <id>", "of this event")
    .option("--pool <code>", "of this dispatch pool")
    .option("-g, --group <group>", "of this message group")
    .option("--code <code>", "event type, or a task's code")
    .action(async (options: JobListOptions, command: Command) => {
      const context = contextOf(command, environment);
      const { client } = context;
      const { subscription } = options;
      const filter = {
        status: options.status?.map((status) => status.toUpperCase()),
        subscriptionId: subscription === undefined ? undefined : await subscriptionNamed(client, subscription),
        eventId: options.event,
        dispatchPoolId: options.pool,
        messageGroup: options.group,
        code: options.code,
      };
      await printPages(context, options, {
        fetch: (query) => client.jobs.list({ ...filter, ...query }),
        header: ["ID", "STATUS", "ATTEMPTS", "TYPE", "TARGET", "LAST ERROR"],
        row: (job) => [job.id, job.status, job.attemptCount, job.code, job.targetUrl, job.lastError],
      });
    });
  withExamples(list, [
    "flowcatalyst jobs list",
    "flowcatalyst jobs list --status FAILED EXPIRED --subscription <subscription-id>",
    "flowcatalyst jobs list --event <event-id> --json",
  ]);
}

function addReading(jobs: Command, environment: Environment): void {
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

  const attempts = withPaging(jobs.command("attempts"))
    .summary("every request that was made for one")
    .argument("<id>")
    .action(async (id: string, options: PagingOptions, command: Command) => {
      const context = contextOf(command, environment);
      await printPages(context, options, {
        fetch: (query) => context.client.jobs.attempts(id, { ...query }),
        header: ["ATTEMPT", "STARTED", "OUTCOME", "STATUS", "TOOK", "ERROR"],
        row: (item) => [
          `${item.generation}.${item.number}`,
          item.startedAt,
          item.outcome,
          item.statusCode,
          `${Math.round(item.durationMs)} ms`,
          item.error,
        ],
      });
    });
  withExamples(attempts, ["flowcatalyst jobs attempts <job-id>"]);
}

function addActions(jobs: Command, environment: Environment): void {
  const retry = jobs
    .command("retry")
    .summary("deliver a final job again, with a fresh budget of retries")
    .argument("<id>")
    .action(async (id: string, _options: unknown, self: Command) => {
      const { client, terminal } = contextOf(self, environment);
      const job = await client.jobs.retry(id);
      terminal.answer(job, () => `${job.id} is ${job.status}; see: flowcatalyst jobs attempts ${job.id}`);
    });
  withExamples(retry, ["flowcatalyst jobs retry <job-id>"]);

  const cancel = withConfirmation(jobs.command("cancel"))
    .summary("do not deliver it")
    .argument("<id>")
    .action(async (id: string, options: ConfirmationOptions, self: Command) => {
      const context = contextOf(self, environment);
      const job = await context.client.jobs.get(id);
      const what = oneLine(`cancel ${job.id} (${job.code ?? "a task"} to ${job.targetUrl}, ${job.status})`);
      const stopped = await stoppedBefore({ what, preview: { job } }, options, { context, environment });
      if (stopped !== null) return void (process.exitCode = stopped);
      const cancelled = await context.client.jobs.cancel(id);
      context.terminal.answer(cancelled, () => `${cancelled.id} is ${cancelled.status}`);
    });
  withExamples(cancel, ["flowcatalyst jobs cancel <job-id> --dry-run", "flowcatalyst jobs cancel <job-id> --yes"]);
}
