import type { Command } from "commander";
import { contextOf, withExamples, type Environment } from "../context.ts";
import { details, table } from "../terminal.ts";
import { positiveInteger } from "./publish.ts";
import { withMore } from "./subscriptions.ts";

interface PoolOptions {
  readonly concurrency?: number;
  readonly rate?: number;
  readonly burst?: number;
  readonly name?: string;
}

/** `pools …`. */
export function addPoolCommands(program: Command, environment: Environment): void {
  const group = program.command("pools").summary("budgets: concurrency and rate").description("Dispatch pools.");
  const list = group
    .command("list")
    .summary("list pools")
    .option("-n, --limit <n>", "how many", positiveInteger, 50)
    .option("--cursor <cursor>", "next page, from the answer before")
    .action(async (options: Record<string, string>, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const page = await client.pools.list(options);
      terminal.answer(page, () => {
        const rows = page.items.map((item) => [
          item.id,
          item.code,
          item.status,
          item.concurrency,
          item.rateLimitPerMinute,
        ]);
        return withMore(table(["ID", "CODE", "STATUS", "CONCURRENCY", "PER MINUTE"], rows), page.nextCursor);
      });
    });
  withExamples(list, ["flowcatalyst pools list"]);

  const create = group
    .command("create")
    .summary("make a pool")
    .argument("<code>")
    .option("-c, --concurrency <n>", "calls at once", positiveInteger)
    .option("-r, --rate <n>", "calls a minute", positiveInteger)
    .option("--burst <n>", "calls that may go at once after a pause", positiveInteger)
    .option("--name <name>", "a name for people")
    .action(async (code: string, options: PoolOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const pool = await client.pools.create({ code, ...changeOf(options) });
      terminal.answer(pool, () => details(pool));
    });
  withExamples(create, ["flowcatalyst pools create PARTNERS --concurrency 5 --rate 600"]);

  const update = group
    .command("update")
    .summary("change a pool; takes effect at once")
    .argument("<id>")
    .option("-c, --concurrency <n>", "calls at once", positiveInteger)
    .option("-r, --rate <n>", "calls a minute", positiveInteger)
    .option("--burst <n>", "calls that may go at once after a pause", positiveInteger)
    .option("--name <name>", "a name for people")
    .action(async (id: string, options: PoolOptions, command: Command) => {
      const { client, terminal } = contextOf(command, environment);
      const pool = await client.pools.update(id, changeOf(options));
      terminal.answer(pool, () => details(pool));
    });
  withExamples(update, ["flowcatalyst pools update <pool-id> --concurrency 20"]);
  addActions(group, environment);
}

function addActions(group: Command, environment: Environment): void {
  for (const [action, summary] of [
    ["suspend", "hold all jobs of the pool"],
    ["activate", "let them go on"],
  ] as const) {
    const command = group
      .command(action)
      .summary(summary)
      .argument("<id>")
      .action(async (id: string, _options: unknown, self: Command) => {
        const { client, terminal } = contextOf(self, environment);
        const pool = await client.pools[action](id);
        terminal.answer(pool, () => `${pool.code} is ${pool.status}`);
      });
    withExamples(command, [`flowcatalyst pools ${action} <pool-id>`]);
  }
  const remove = group
    .command("delete")
    .summary("remove a pool that no subscription uses")
    .argument("<id>")
    .option("--dry-run", "only say what would go")
    .action(async (id: string, options: { dryRun?: boolean }, self: Command) => {
      const { client, terminal } = contextOf(self, environment);
      const pool = await client.pools.get(id);
      if (options.dryRun !== true) await client.pools.remove(id);
      const verb = options.dryRun === true ? "would be deleted" : "deleted";
      terminal.answer({ deleted: options.dryRun !== true, pool }, () => `${pool.code} ${verb}`);
    });
  withExamples(remove, ["flowcatalyst pools delete <pool-id> --dry-run"]);
}

function changeOf(options: PoolOptions): {
  name?: string;
  concurrency?: number;
  rateLimitPerMinute?: number;
  burst?: number;
} {
  return {
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    ...(options.rate === undefined ? {} : { rateLimitPerMinute: options.rate }),
    ...(options.burst === undefined ? {} : { burst: options.burst }),
    ...(options.name === undefined ? {} : { name: options.name }),
  };
}
