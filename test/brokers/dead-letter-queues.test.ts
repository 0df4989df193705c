import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { describeWith, type NeededService } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { recordedCase } from "../../packages/server/src/ports/queue-matrix.fixture.ts";
import { openTestPostgres } from "../../packages/server/src/postgres/test-database.fixture.ts";
import { queueMigrations } from "../../packages/server/src/queues/postgres/index.ts";
import { callApi } from "../harness/api.ts";
import { createCommandLine } from "../harness/command-line.ts";
import { eventually } from "../harness/eventually.ts";
import { startQueueBroker, type QueueBrokerKind } from "../harness/queue-brokers.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";

/** Dead letters of a router on each kind of queue, by its command line: what failed is delivered after all. */

const caseTimeoutMs = 90_000;
const suite = "dead letters of a router";
const title = "are listed, replayed to their target, and discarded";
const count = 12;

type QueueKind = QueueBrokerKind | "sqlite" | "postgres";

const neededBy: Readonly<Record<QueueKind, NeededService | null>> = {
  sqlite: null,
  postgres: "postgres",
  nats: "nats",
  "sqs-fifo": "sqs",
  "sqs-standard": "sqs",
  activemq: "activemq",
  rabbitmq: "rabbitmq",
};

let sandbox: Sandbox = createSandbox();
afterEach(async () => {
  await sandbox.end();
  sandbox = createSandbox();
});

/** Answers what it is told to, and remembers which messages it took. */
function startTarget() {
  const taken = new Set<string>();
  const target = { status: 404, taken, url: "" };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      if (target.status === 200) taken.add(request.headers.get("webhook-id") ?? "");
      return new Response(null, { status: target.status });
    },
  });
  sandbox.defer(() => server.stop(true));
  target.url = `http://127.0.0.1:${server.port}/hook`;
  return target;
}

/** A queue that nobody else uses, as the environment of a router. */
async function queueOf(kind: QueueKind): Promise<Readonly<Record<string, string>>> {
  if (kind === "sqlite") return { FC_QUEUE_URL: `sqlite:${join(sandbox.dataDir(), "queue.db")}` };
  if (kind === "postgres") {
    const database = await openTestPostgres([queueMigrations]);
    sandbox.defer(() => database.close());
    return { FC_QUEUE_URL: database.url };
  }
  const broker = await startQueueBroker(kind);
  sandbox.defer(() => broker.server.remove());
  return { ...broker.env, FC_QUEUE_URL: broker.queueUrl };
}

async function replaysAndDiscards(kind: QueueKind): Promise<void> {
  const env = { ...(await queueOf(kind)), FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8" };
  const target = startTarget();
  const router = await sandbox.start({ args: ["router"], env });
  const commandLine = createCommandLine(sandbox.dataDir(), { FC_ROUTER_URL: router.routerUrl });
  const run = (line: string) => commandLine.run(`flowcatalyst dead-letter ${line}`);
  const listed = async (): Promise<string[]> => {
    const { stdout } = await run("list --json");
    const { items } = JSON.parse(stdout) as { items: readonly { id: string }[] };
    return items.map(({ id }) => id).toSorted();
  };
  const publish = (pool: string): Promise<unknown> => {
    const body = Array.from({ length: count }, (_, at) => ({
      id: `${pool}-${at}`,
      poolCode: pool,
      target: target.url,
      payload: { at },
      messageGroupId: `group-${at % 3}`,
    }));
    return callApi(router.routerUrl, { method: "POST", path: "/api/router/publish", body });
  };
  const ids = (pool: string): string[] => Array.from({ length: count }, (_, at) => `${pool}-${at}`).toSorted();

  await publish("MENDED");
  await publish("HOPELESS");
  const both = [...ids("HOPELESS"), ...ids("MENDED")];
  await eventually("all to be set aside", async () => ((await listed()).length === both.length ? true : undefined));
  expect(await listed()).toEqual(both);
  target.status = 200;
  const replay = await run("replay --all --pool MENDED --yes");
  expect([replay.exitCode, replay.stdout.trim()]).toEqual([0, `${count} replayed`]);
  await eventually("their delivery", () => (target.taken.size === count ? true : undefined));
  expect([...target.taken].toSorted()).toEqual(ids("MENDED"));
  const discard = await run("discard --all --yes");
  expect([discard.exitCode, discard.stdout.trim()]).toEqual([0, `${count} discarded`]);
  expect(await listed()).toEqual([]);
}

for (const [kind, service] of Object.entries(neededBy) as [QueueKind, NeededService | null][]) {
  const body = (): void => {
    const run = recordedCase({ adapter: kind, suite, title }, () => replaysAndDiscards(kind), caseTimeoutMs);
    test(title, run, caseTimeoutMs);
  };
  if (service === null) describe(`dead letters on ${kind}`, body);
  else describeWith([service], `dead letters on ${kind}`, body);
}
