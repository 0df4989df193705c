import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { request, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { startLedgerReceiver } from "../harness/ledger-receiver.ts";
import { publishAll } from "../harness/publisher.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { cappedFiles, ownDisk } from "../harness/small-disk.ts";

/**
 * A disk that fills while events come in and go out: what comes is refused with 503 and a code, readiness turns red,
 * reading goes on; and once there is room again everything goes on by itself, nothing lost, nothing twice, in order.
 */

const roomBytes = 524_288;
const healsWithinMs = 10_000;

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = createSandbox();
});
afterEach(() => sandbox.end());

interface Readiness {
  readonly status: number;
  readonly says: string;
}

async function readiness(server: ServerProcess, { status, says }: Readiness, withinMs: number): Promise<void> {
  await eventually(
    `readiness ${status}: ${says}`,
    async () => {
      const answer = await request(server.metricsUrl, "GET /q/ready");
      return answer.status === status && JSON.stringify(answer.body).includes(says) ? true : undefined;
    },
    withinMs,
  );
}

const disks = [
  { disk: ownDisk(), code: "STORE_FULL" },
  { disk: cappedFiles(), code: "STORE_UNAVAILABLE" },
];

describe("while events come in and go out", () => {
  for (const { disk, code } of disks) {
    test.skipIf(!disk.available)(disk.name, async () => {
      const server = await sandbox.start({ through: disk.through });
      const receiver = startLedgerReceiver();
      sandbox.defer(() => receiver.stop());
      receiver.target("t");
      const body = { name: "t", eventTypes: ["d.*"], targetUrl: `${receiver.url}/t` };
      const { secret } = await subscribe(server.apiUrl, body);
      receiver.target("t", { secret });

      disk.fill(server, roomBytes);
      const plan = { type: "d.e", groups: 20, events: 3_000, batch: 10, connections: 2 };
      const publishing = publishAll({ ...plan, apiUrl: () => server.apiUrl });
      // The queue may notice first; the database's own check is asked at most once a second.
      await readiness(server, { status: 503, says: '"name":"database","status":"DOWN"' }, 20_000);
      expect((await request(server.metricsUrl, "GET /q/live")).status).toBe(200);

      for (const [line, sent] of [
        ["POST /api/events", { type: "other", source: "/x" }],
        ["POST /api/subscriptions", { ...body, name: "other" }],
        ["POST /api/dispatch/jobs", { targetUrl: `${receiver.url}/t`, payload: "{}" }],
      ] as const) {
        const refused = await request(server.apiUrl, line, { body: sent });
        expect([line, refused.status, refused.body["code"]]).toEqual([line, 503, code]);
        expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      }
      const listed = await request(server.apiUrl, "GET /api/subscriptions");
      expect(listed.body["items"]).toMatchObject([{ name: "t" }]);

      disk.free(server);
      await readiness(server, { status: 200, says: '"status":"UP"' }, healsWithinMs);
      expect(await publishing).toBe(plan.events);
      await eventually("all deliveries", () => (receiver.delivered() === plan.events ? true : undefined));
      expect(receiver.summary("t")).toEqual({
        delivered: plan.events,
        duplicates: 0,
        inverted: 0,
        refused: 0,
        firstInversion: null,
        badSignatures: 0,
      });
      const others = await request(server.apiUrl, "GET /api/bff/events?type=other");
      expect(others.body["totalItems"]).toBe(0);
      expect(await server.stop()).toBe(0);
    });
  }
});
