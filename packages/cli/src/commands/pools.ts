import type { Command } from "commander";
import type { UpdateDispatchPool } from "@flowcatalyst/sdk";
import { positiveInteger } from "../arguments.ts";
import { stoppedBefore, withConfirmation, type ConfirmationOptions } from "../confirmation.ts";
import { contextOf, usageError, withExamples, type Environment } from "../context.ts";
import { printPages, withPaging, type PagingOptions } from "../paging.ts";
import { details } from "../terminal.ts";

interface PoolOptions {
  readonly concurrency?: number;
  readonly rate?: number;
  readonly burst?: number;
  readonly name?: string;
}

const which = "id or code";

/** `pools …`. */
export function addPoolCommands(program: Command, environment: Environment): void {
  const group = program
    .command("pools")
    .summary("budgets: concurrency and rate")
    .description("Dispatch pools: how many calls at once, and how many a minute.");
  addReading(group, environment);
  addSettings(group, environment);
  addActions(group, environment);
  addDelete(group, environment);
}

function addReading(group: Command, environment: Environment): void {
  const list = withPaging(group.command("list"))
    .summary("list pools")
    .action(async (options: PagingOptions, command: Command) => {
      const context = contextOf(command, environment);
      await printPages(context, options, {
        fetch: (query) => context.client.pools.list({ ...query }),
        header: ["ID", "CODE", "STATUS", "CONCURRENCY", "PER MINUTE"],
        row: (item) => [item.id, item.code, item.status, item.concurrency, item.rateLimitPerMinute],
      });
    });
  withExamples(list, ["flowcatalyst pools list"]);

  const get = group
    .command("get")
    .summary("show one")
    .argument("<pool>", which)
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const pool = await client.pools.get(id);
      terminal.answer(pool, () => details(pool));
    });
  withExamples(get, ["flowcatalyst pools get <pool-id>"]);
}

function addSettings(group: Command, environment: Environment): void {
  const create = withSettings(group.command("create"))
    .summary("make a pool")
    .argument("<code>")
    .action(async (code: string, options: PoolOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const pool = await client.pools.create({ code, ...settingsOf(options) });
      terminal.answer(pool, () => details(pool));
    });
  withExamples(create, ["flowcatalyst pools create PARTNERS --concurrency 5 --rate 600"]);

  const update = withSettings(group.command("update"))
    .summary("change a pool; takes effect at once")
    .argument("<pool>", which)
    .action(async (id: string, options: PoolOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const change = settingsOf(options);
      if (Object.keys(change).length === 0) throw usageError("say what to change, e.g. --concurrency 20");
      const pool = await client.pools.update(id, change);
      terminal.answer(pool, () => details(pool));
    });
  withExamples(update, ["flowcatalyst pools update <pool-id> --concurrency 20"]);
}

function withSettings(command: Command): Command {
  return command
    .option("-c, --concurrency <n>", "calls at once", positiveInteger)
    .option("-r, --rate <n>", "calls a minute", positiveInteger)
    .option("--burst <n>", "calls that may go at once after a pause", positiveInteger)
    .option("--name <name>", "a name for people");
}

function addActions(group: Command, environment: Environment): void {
  for (const [action, summary] of [
    ["suspend", "hold all jobs of the pool; nothing is lost"],
    ["activate", "let them go on"],
  ] as const) {
    const command = group
      .command(action)
      .summary(summary)
      .argument("<pool>", which)
      .action(async (id: string, _options: unknown, self: Command) => {
        const { client, terminal } = contextOf(self, environment);
        const pool = await client.pools[action](id);
        terminal.answer(pool, () => `${pool.code} is ${pool.status}`);
      });
    withExamples(command, [`flowcatalyst pools ${action} <pool-id>`]);
  }
}

function addDelete(group: Command, environment: Environment): void {
  const remove = withConfirmation(group.command("delete"))
    .summary("remove a pool that no subscription uses")
    .argument("<pool>", which)
    .action(async (id: string, options: ConfirmationOptions, self: Command) => {
      const context = contextOf(self, environment);
      const pool = await context.client.pools.get(id);
      const deed = { what: `delete the pool ${pool.code} (${pool.id})`, preview: { pool } };
      const stopped = await stoppedBefore(deed, options, { context, environment });
      if (stopped !== null) return void (process.exitCode = stopped);
      await context.client.pools.remove(pool.id);
      context.terminal.answer({ deleted: true, pool }, () => `${pool.code} is deleted`);
    });
  withExamples(remove, ["flowcatalyst pools delete <pool-id> --dry-run", "flowcatalyst pools delete <pool-id> --yes"]);
}

function settingsOf(options: PoolOptions): UpdateDispatchPool {
  return {
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    ...(options.rate === undefined ? {} : { rateLimitPerMinute: options.rate }),
    ...(options.burst === undefined ? {} : { burst: options.burst }),
    ...(options.name === undefined ? {} : { name: options.name }),
  };
}
