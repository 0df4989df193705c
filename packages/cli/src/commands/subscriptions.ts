import type { Command } from "commander";
import type { CreateSubscription, SubscriptionOut } from "@flowcatalyst/contracts";
import { contextOf, withExamples, type Environment } from "../context.ts";
import { details, table } from "../terminal.ts";
import { positiveInteger } from "./publish.ts";

interface CreateOptions {
  readonly types: readonly string[];
  readonly target: string;
  readonly code?: string;
  readonly pool?: string;
  readonly mode?: CreateSubscription["mode"];
  readonly format?: CreateSubscription["format"];
  readonly filter?: string;
  readonly maxRetries?: number;
  readonly client?: string;
}

/** `subscriptions …`. */
export function addSubscriptionCommands(program: Command, environment: Environment): void {
  const group = program
    .command("subscriptions")
    .alias("subs")
    .summary("who gets which events")
    .description("Subscriptions.");
  addReading(group, environment);
  addCreate(group, environment);
  addActions(group, environment);
}

function addReading(group: Command, environment: Environment): void {
  const list = group
    .command("list")
    .summary("list subscriptions")
    .option("--status <status>", "ACTIVE, PAUSED or ARCHIVED")
    .option("-n, --limit <n>", "how many", positiveInteger, 50)
    .option("--cursor <cursor>", "next page, from the answer before")
    .action(async (options: Record<string, string>, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const page = await client.subscriptions.list(options);
      terminal.answer(page, () => {
        const rows = page.items.map((item) => [item.id, item.name, item.status, patterns(item), item.targetUrl]);
        return withMore(table(["ID", "NAME", "STATUS", "EVENT TYPES", "TARGET"], rows), page.nextCursor);
      });
    });
  withExamples(list, ["flowcatalyst subscriptions list", "flowcatalyst subscriptions list --status PAUSED --json"]);

  const get = group
    .command("get")
    .summary("show one, with its job counts")
    .argument("<id>")
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const [subscription, stats] = await Promise.all([client.subscriptions.get(id), client.subscriptions.stats(id)]);
      terminal.answer({ ...subscription, stats }, () => details({ ...subscription, stats }));
    });
  withExamples(get, ["flowcatalyst subscriptions get <subscription-id>"]);

  const secret = group
    .command("secret")
    .summary("show the signing secret")
    .argument("<id>")
    .option("--rotate", "make a new one; the old one stays valid for 24 h")
    .action(async (id: string, options: { rotate?: boolean }, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
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

function addCreate(group: Command, environment: Environment): void {
  const create = group
    .command("create")
    .summary("make a subscription")
    .argument("<name>")
    .requiredOption("-t, --types <pattern...>", "event types or patterns: * is one segment, ** at the end one or more")
    .requiredOption("--target <url>", "where to POST")
    .option("--code <code>", "a code of your own, unique")
    .option("--pool <code>", "dispatch pool")
    .option("--mode <mode>", "IMMEDIATE, NEXT_ON_ERROR or BLOCK_ON_ERROR")
    .option("--format <format>", "data or cloudevents")
    .option("--filter <cel>", "CEL over event and data")
    .option("--max-retries <n>", "retries after the first attempt", Number)
    .option("--client <id>", "client (tenant)")
    .action(async (name: string, options: CreateOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const subscription = await client.subscriptions.create(subscriptionOf(name, options));
      terminal.answer(subscription, () => details(subscription));
      for (const warning of subscription.warnings ?? []) terminal.note(`warning: ${warning.message}`);
    });
  withExamples(create, [
    "flowcatalyst subscriptions create hooks --types 'order.*' --target http://127.0.0.1:8080/dev/receiver/hooks",
    "flowcatalyst subscriptions create big --types order.created --filter 'data.total > 100' " +
      "--target http://127.0.0.1:8080/dev/receiver/big",
  ]);
}

function addActions(group: Command, environment: Environment): void {
  const actions = [
    ["pause", "hold its jobs; nothing is lost"],
    ["resume", "let its jobs go on"],
    ["archive", "stop matching and cancel its waiting jobs"],
  ] as const;
  for (const [action, summary] of actions) {
    const command = group
      .command(action)
      .summary(summary)
      .argument("<id>")
      .action(async (id: string, _options: unknown, self: Command) => {
        const { client, terminal } = contextOf(self, environment);
        const subscription = await client.subscriptions[action](id);
        terminal.answer(subscription, () => `${subscription.name} is ${subscription.status}`);
      });
    withExamples(command, [`flowcatalyst subscriptions ${action} <subscription-id>`]);
  }
  const test = group
    .command("test")
    .summary("send it a test event")
    .argument("<id>")
    .option("--type <type>", "event type to send")
    .action(async (id: string, options: { type?: string }, self: Command) => {
      const { client, terminal } = contextOf(self, environment);
      const answer = await client.subscriptions.test(id, options);
      terminal.answer(answer, () => details(typeof answer === "object" && answer !== null ? answer : { answer }));
    });
  withExamples(test, ["flowcatalyst subscriptions test <subscription-id>"]);
}

function subscriptionOf(name: string, options: CreateOptions): CreateSubscription {
  return {
    name,
    eventTypes: [...options.types],
    targetUrl: options.target,
    ...(options.code === undefined ? {} : { code: options.code }),
    ...(options.pool === undefined ? {} : { dispatchPoolId: options.pool }),
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.format === undefined ? {} : { format: options.format }),
    ...(options.filter === undefined ? {} : { filter: options.filter }),
    ...(options.maxRetries === undefined ? {} : { maxRetries: options.maxRetries }),
    ...(options.client === undefined ? {} : { clientId: options.client }),
  };
}

function patterns(subscription: SubscriptionOut): string {
  return subscription.eventTypes.map((binding) => binding.eventTypeCode).join(", ");
}

export function withMore(text: string, nextCursor: string | undefined): string {
  return nextCursor === undefined ? text : `${text}\nmore: --cursor ${nextCursor}`;
}
