import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { callApi, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/free-port.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import { runtimesOf, startExample } from "./example-process.ts";

const timeLimitMs = 90_000;
const root = resolve(import.meta.dir, "../..");

/**
 * An example that receives webhooks, against a real server: it prints what is delivered, and refuses what is not ours.
 */
export function provesWebhookExample(name: string): void {
  const sandboxes: Sandbox[] = [];
  afterEach(async () => {
    for (const sandbox of sandboxes.splice(0)) await sandbox.end();
  });

  test.each(runtimesOf(name))(
    `${name} under %s`,
    async (runtime) => {
      const sandbox = createSandbox();
      sandboxes.push(sandbox);
      const server = await sandbox.start();
      const port = await freePort();
      const targetUrl = `http://127.0.0.1:${port}/webhooks`;
      const { secret } = await subscribe(server.apiUrl, { name, eventTypes: ["order.*"], targetUrl });
      const env = { PORT: String(port), WEBHOOK_SECRET: secret };
      const example = await startExample(sandbox, name, { runtime, env });
      expect(example.url).toBe(`http://127.0.0.1:${port}`);

      const body = { type: "order.created", source: "shop", data: { n: 1 } };
      await callApi(server.apiUrl, { method: "POST", path: "/api/events", body });
      await eventually("the webhook", () => example.output().includes("order.created: ") || undefined);
      const readme = readFileSync(join(root, "examples", name, "README.md"), "utf8");
      const promised = /prints\n\n```text\n(.*)\n```/.exec(readme)?.[1];
      expect(example.output().trimEnd().split("\n").at(-1)).toBe(promised);

      const forged = await fetch(targetUrl, { method: "POST", body: "{}" });
      expect(forged.status).toBe(401);
      await forged.text();
      await eventually("the refusal", () => example.output().includes("refused: ") || undefined);
      expect(await example.stop()).toBe(0);
    },
    timeLimitMs,
  );
}
