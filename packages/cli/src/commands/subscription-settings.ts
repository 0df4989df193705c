import { Option, type Command } from "commander";
import type { Subscription, UpdateSubscription } from "@flowcatalyst/sdk";
import { headerLine, positiveInteger, webAddress, wholeNumber } from "../arguments.ts";
import { contextOf, usageError, withExamples, type CommandContext, type Environment } from "../context.ts";
import { subscriptionNamed } from "../subscription-named.ts";
import { details } from "../terminal.ts";

interface SettingOptions {
  readonly types?: readonly string[];
  readonly target?: string;
  readonly code?: string;
  readonly pool?: string;
  readonly mode?: UpdateSubscription["mode"];
  readonly format?: UpdateSubscription["format"];
  readonly filter?: string;
  readonly timeout?: number;
  readonly retry?: "fast" | "default" | "standard-webhooks";
  readonly maxRetries?: number;
  readonly delay?: number;
  readonly header?: Readonly<Record<string, string>>;
}

/** `subscriptions create` and `update`. */
export function addSubscriptionSettings(group: Command, environment: Environment): void {
  const create = withSettings(group.command("create"), { isNew: true })
    .summary("make a subscription")
    .argument("<name>")
    .option("--client <id>", "client (tenant)")
    .action(async (name: string, options: SettingOptions & { client?: string }, command: Command) => {
      const context = contextOf(command, environment);
      const { types = [], target = "", client: clientId } = options;
      const required = { name, eventTypes: [...types], targetUrl: target };
      const settings = { ...settingsOf(options), ...required, ...(clientId === undefined ? {} : { clientId }) };
      show(context, await context.client.subscriptions.create(settings));
    });
  withExamples(create, [
    "flowcatalyst subscriptions create hooks --types 'order.*' --target http://127.0.0.1:8080/dev/receiver/hooks",
    "flowcatalyst subscriptions create big --types order.created --filter 'data.total > 100' " +
      "--target http://127.0.0.1:8080/dev/receiver/big",
  ]);

  const update = withSettings(group.command("update"), { isNew: false })
    .summary("change one; what is not given stays")
    .argument("<subscription>", "id, code or name")
    .option("--name <name>", "another name")
    .action(async (given: string, options: SettingOptions & { name?: string }, command: Command) => {
      const context = contextOf(command, environment);
      const change = { ...settingsOf(options), ...(options.name === undefined ? {} : { name: options.name }) };
      if (Object.keys(change).length === 0) throw usageError("say what to change, e.g. --target URL");
      const id = await subscriptionNamed(context.client, given);
      show(context, await context.client.subscriptions.update(id, change));
    });
  withExamples(update, [
    "flowcatalyst subscriptions update <subscription-id> --timeout 10 --filter 'data.total > 100'",
  ]);
}

function withSettings(command: Command, { isNew }: { readonly isNew: boolean }): Command {
  const types = new Option("-t, --types <pattern...>", "event types; * is one segment, ** at the end one or more");
  return command
    .addOption(types.makeOptionMandatory(isNew))
    .addOption(new Option("--target <url>", "where to POST").argParser(webAddress).makeOptionMandatory(isNew))
    .option("--code <code>", "a code of your own, unique")
    .option("--pool <code>", "dispatch pool")
    .addOption(
      new Option("--mode <mode>", "order within a message group, and what a failure does to it").choices([
        "IMMEDIATE",
        "NEXT_ON_ERROR",
        "BLOCK_ON_ERROR",
      ]),
    )
    .addOption(new Option("--format <format>", "body of the webhook").choices(["data", "cloudevents"]))
    .option("--filter <cel>", "CEL over event and data")
    .option("--timeout <seconds>", "for an answer", positiveInteger)
    .addOption(new Option("--retry <preset>", "waits before retries").choices(["fast", "default", "standard-webhooks"]))
    .option("--max-retries <n>", "retries after the first attempt", wholeNumber)
    .option("--delay <seconds>", "wait before the first attempt", wholeNumber)
    .option("--header <line>", "'name: value' sent along; may be repeated", headerLine);
}

function show({ terminal }: CommandContext, subscription: Subscription): void {
  terminal.answer(subscription, () => {
    const { warnings: _told, eventTypes, ...others } = subscription;
    return details({ ...others, eventTypes: eventTypes.map((binding) => binding.eventTypeCode).join(", ") });
  });
  if (terminal.json) return;
  for (const warning of subscription.warnings ?? []) terminal.note(`warning: ${warning.message}`);
}

function settingsOf(options: SettingOptions): UpdateSubscription {
  const { types, target, code, pool, mode, format, filter, timeout, retry, maxRetries, delay, header } = options;
  return {
    ...(types === undefined ? {} : { eventTypes: [...types] }),
    ...(target === undefined ? {} : { targetUrl: target }),
    ...(code === undefined ? {} : { code }),
    ...(pool === undefined ? {} : { dispatchPoolId: pool }),
    ...(mode === undefined ? {} : { mode }),
    ...(format === undefined ? {} : { format }),
    ...(filter === undefined ? {} : { filter }),
    ...(timeout === undefined ? {} : { timeoutSeconds: timeout }),
    ...(retry === undefined ? {} : { retry }),
    ...(maxRetries === undefined ? {} : { maxRetries }),
    ...(delay === undefined ? {} : { delaySeconds: delay }),
    ...(header === undefined ? {} : { headers: { ...header } }),
  };
}
