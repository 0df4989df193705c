import type { Command } from "commander";
import type { Subscription, SubscriptionStats } from "@flowcatalyst/sdk";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import { contextOf, usageError, withExamples, type Environment } from "../context.ts";
import { printPages, withPaging, type PagingOptions } from "../paging.ts";
import { subscriptionNamed } from "../subscription-named.ts";
import { details } from "../terminal.ts";
import { addSubscriptionSettings } from "./subscription-settings.ts";

const who = "id, code or name";

/** `subscriptions …`. */
export function addSubscriptionCommands(program: Command, environment: Environment): void {
  const group = program
    .command("subscriptions")
    .alias("subs")
    .summary("who gets which events")
    .description("Subscriptions: who gets which events, where, and how.");
  addReading(group, environment);
  addSubscriptionSettings(group, environment);
  addActions(group, environment);
  addArchive(group, environment);
  addSecret(group, environment);
}

const statuses: readonly Subscription["status"][] = ["ACTIVE", "PAUSED", "ARCHIVED"];

function statusNamed(given: string | undefined): Subscription["status"] | undefined {
  const status = statuses.find((name) => name === given?.toUpperCase());
  if (given !== undefined && status === undefined) throw usageError(`--status is one of ${statuses.join(", ")}`);
  return status;
}

function addReading(group: Command, environment: Environment): void {
  const list = withPaging(group.command("list"))
    .summary("list subscriptions")
    .option("--status <status>", "ACTIVE, PAUSED or ARCHIVED")
    .action(async (options: PagingOptions & { status?: string }, command: Command) => {
      const context = contextOf(command, environment);
      const status = statusNamed(options.status);
      await printPages(context, options, {
        fetch: (query) => context.client.subscriptions.list({ ...query, status }),
        header: ["ID", "NAME", "STATUS", "EVENT TYPES", "TARGET"],
        row: (item) => [item.id, item.name, item.status, patterns(item), item.targetUrl],
      });
    });
  withExamples(list, [
    "flowcatalyst subscriptions list",
    "flowcatalyst subscriptions list --status ACTIVE --all --json",
  ]);

  const get = group
    .command("get")
    .summary("show one, with its job counts")
    .argument("<subscription>", who)
    .action(async (given: string, _options: unknown, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const id = await subscriptionNamed(client, given);
      const [subscription, stats] = await Promise.all([client.subscriptions.get(id), client.subscriptions.stats(id)]);
      terminal.answer({ ...subscription, stats }, () => {
        const { subscriptionId: _same, filterFaults, ...counts } = stats;
        const jobs = Object.entries(counts).map(([status, count]) => `${count} ${status}`);
        return details({
          ...subscription,
          eventTypes: patterns(subscription),
          jobs: jobs.join(", "),
          filterFaults: filterFaults === null ? null : faultText(filterFaults),
        });
      });
    });
  withExamples(get, ["flowcatalyst subscriptions get <subscription-id>"]);
}

function addActions(group: Command, environment: Environment): void {
  for (const [action, summary] of [
    ["pause", "hold its jobs; nothing is lost"],
    ["resume", "let its jobs go on"],
  ] as const) {
    const command = group
      .command(action)
      .summary(summary)
      .argument("<subscription>", who)
      .action(async (given: string, _options: unknown, self: Command) => {
        const { client, terminal } = contextOf(self, environment);
        const subscription = await client.subscriptions[action](await subscriptionNamed(client, given));
        terminal.answer(subscription, () => `${subscription.name} is ${subscription.status}`);
      });
    withExamples(command, [`flowcatalyst subscriptions ${action} <subscription-id>`]);
  }
  const test = group
    .command("test")
    .summary("send its target one test delivery, signed with its secret")
    .argument("<subscription>", who)
    .option("--type <type>", "event type to send; its first one without wildcards, if absent")
    .action(async (given: string, options: { type?: string }, self: Command) => {
      const { client, terminal } = contextOf(self, environment);
      const job = await client.subscriptions.test(await subscriptionNamed(client, given), options);
      terminal.answer(job, () => `${job.id} goes to ${job.targetUrl}; see: flowcatalyst jobs attempts ${job.id}`);
    });
  withExamples(test, ["flowcatalyst subscriptions test <subscription-id>"]);
}

function addArchive(group: Command, environment: Environment): void {
  const archive = withConfirmation(group.command("archive"))
    .summary("stop matching and cancel its waiting jobs; final")
    .argument("<subscription>", who)
    .action(async (given: string, options: ConfirmationOptions, self: Command) => {
      const context = contextOf(self, environment);
      const { client, terminal } = context;
      const id = await subscriptionNamed(client, given);
      const [subscription, { pending }] = await Promise.all([
        client.subscriptions.get(id),
        client.subscriptions.stats(id),
      ]);
      const jobs = pending === 0 ? "no job waits" : `cancel what waits: ${pending} ${pending === 1 ? "job" : "jobs"}`;
      const what = `archive ${subscription.name} (${id}); ${jobs}`;
      const deed = { what, preview: { subscription, pending } };
      const stopped = await stoppedBefore(deed, options, { context, environment });
      if (stopped !== null) return void (process.exitCode = stopped);
      const archived = await client.subscriptions.archive(id);
      terminal.answer(archived, () => `${archived.name} is ${archived.status}`);
    });
  withExamples(archive, [
    "flowcatalyst subscriptions archive <subscription-id> --dry-run",
    "flowcatalyst subscriptions archive <subscription-id> --yes",
  ]);
}

function addSecret(group: Command, environment: Environment): void {
  const secret = group
    .command("secret")
    .summary("show the signing secret, or make a new one")
    .argument("<subscription>", who)
    .option("--rotate", "make a new one; the old one stays valid for 24 h")
    .action(async (given: string, options: { rotate?: boolean }, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const id = await subscriptionNamed(client, given);
      const answer = options.rotate
        ? await client.subscriptions.rotateSecret(id)
        : await client.subscriptions.secret(id);
      terminal.answer(answer, () => answer.secret);
    });
  withExamples(secret, [
    "flowcatalyst subscriptions secret <subscription-id>",
    "flowcatalyst subscriptions secret <subscription-id> --rotate",
  ]);
}

type FilterFaults = NonNullable<SubscriptionStats["filterFaults"]>;

function faultText({ count, lastReason, lastEventId, lastAt }: FilterFaults): string {
  return `${count}, the last: ${lastReason} (${lastEventId}, ${lastAt})`;
}

function patterns(subscription: Subscription): string {
  return subscription.eventTypes.map((binding) => binding.eventTypeCode).join(", ");
}
