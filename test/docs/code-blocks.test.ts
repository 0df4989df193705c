import { afterAll, afterEach, beforeEach, describe, expect, mock, setSystemTime, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callApi, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { removeDataDir, startServer, type ServerProcess } from "../harness/server-process.ts";
import { blocksOf, markerOf, root, type Block } from "./markdown.ts";
import { withPorts } from "./shell-session.ts";

/** Code of the guides, extracted and run: what a reader copies must work as it stands. */
const receiving = "docs/guides/receiving-webhooks.md";
const verifying = "docs/guides/verifying-webhooks.md";

type Receive = (request: Request, secret: string) => Promise<Response>;

/** Modules find the packages of this repository as a reader's project finds its own. */
const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-code-"));
symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
const closing: (() => Promise<void> | void)[] = [];
beforeEach(() => {
  // The handlers print what they get, as their readers want; a test run is no place for it.
  spyOn(console, "log").mockImplementation(() => undefined);
});
afterEach(async () => {
  mock.restore();
  setSystemTime();
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function setup(): Promise<ServerProcess> {
  const server = await startServer();
  closing.push(async () => {
    await server.kill();
    removeDataDir(server.dataDir);
  });
  return server;
}

function fileOf(path: string, block: Block, code = block.code): string {
  const file = join(folder, `${path.replaceAll(/\W/g, "-")}-${block.line}.ts`);
  writeFileSync(file, code);
  return file;
}

async function handlerOf(block: Block): Promise<Receive> {
  const guide = handlersOfVerifying.includes(block) ? verifying : receiving;
  const { receive } = (await import(fileOf(guide, block))) as { receive: Receive };
  return receive;
}

/** The three published vectors: the reference libraries' own, and those of two guides to verifying by hand. */
const vectors = [
  {
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: 1_614_265_330,
    body: '{"test": 2432232314}',
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  },
  {
    secret: "whsec_plJ3nmyCDGBKInavdOK15jsl",
    id: "msg_loFOjxBNrRLzqYUf",
    timestamp: 1_731_705_121,
    body: '{"event_type":"ping","data":{"success":true}}',
    signature: "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
  },
  {
    secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
    timestamp: 1_649_367_553,
    body: '{"email":"test@example.com","username":"test_user"}',
    signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
  },
] as const;

type Signed = Pick<(typeof vectors)[number], "id" | "timestamp"> & {
  readonly body: string;
  readonly signature: string;
};

function requestOf({ id, timestamp, body, signature }: Signed): Request {
  const headers = { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": signature };
  return new Request("http://receiver.test/", { method: "POST", headers, body });
}

const blocks = blocksOf(receiving).filter((block) => block.language === "ts");
const handlersOfVerifying = blocksOf(verifying).filter((block) => markerOf(block, "handler") === "");
const handlers = [...blocks.filter((block) => markerOf(block, "handler") === ""), ...handlersOfVerifying];
const legacyHandlers = blocks.filter((block) => markerOf(block, "handler") === "legacy");

test("the guide has its handlers", () => {
  expect(handlersOfVerifying).toHaveLength(1);
  expect(handlers).toHaveLength(4);
  expect(legacyHandlers).toHaveLength(1);
  expect(blocks).toHaveLength(4);
});

describe.each(handlers.map((block) => [block.line, block] as const))(
  "handler of the guides at line %i",
  (_line, block) => {
    test.each(vectors)("takes published vector $id", async (vector) => {
      const receive = await handlerOf(block);
      setSystemTime(vector.timestamp * 1_000);
      expect((await receive(requestOf(vector), vector.secret)).status).toBe(204);
    });

    test("takes one good signature among others, as during a rotation", async () => {
      const receive = await handlerOf(block);
      const [vector, other] = vectors;
      setSystemTime(vector.timestamp * 1_000);
      const signature = `${other.signature} ${vector.signature}`;
      expect((await receive(requestOf({ ...vector, signature }), vector.secret)).status).toBe(204);
    });

    test("refuses what was changed, is old or early, or is signed with another secret", async () => {
      const receive = await handlerOf(block);
      const [vector, other] = vectors;
      const status = async (request: Request, secret: string = vector.secret): Promise<number> =>
        (await receive(request, secret)).status;
      setSystemTime(vector.timestamp * 1_000);
      expect(await status(requestOf({ ...vector, body: `${vector.body} ` }))).toBe(401);
      expect(await status(requestOf({ ...vector, id: other.id }))).toBe(401);
      expect(await status(requestOf({ ...vector, signature: other.signature }))).toBe(401);
      expect(await status(requestOf({ ...vector, signature: "v1," }))).toBe(401);
      expect(await status(requestOf(vector), other.secret)).toBe(401);
      expect(await status(new Request("http://receiver.test/", { method: "POST", body: vector.body }))).toBe(401);
      setSystemTime((vector.timestamp + 301) * 1_000);
      expect(await status(requestOf(vector))).toBe(401);
      setSystemTime((vector.timestamp - 301) * 1_000);
      expect(await status(requestOf(vector))).toBe(401);
    });
  },
);

/** A receiver that answers by the handler, and remembers what it answered. */
function serve(receive: Receive, secret: () => string): { readonly url: string; readonly answers: number[] } {
  const answers: number[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const response = await receive(request, secret());
      answers.push(response.status);
      return response;
    },
  });
  closing.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}/`, answers };
}

test("every handler takes a real delivery, and refuses it under another secret", async () => {
  const server = await setup();
  const cases = await Promise.all(
    [...handlers, ...legacyHandlers].map(async (block) => {
      let secret = "";
      const receiver = serve(await handlerOf(block), () => secret);
      const subscription = await subscribe(server.apiUrl, {
        name: `line ${block.line}`,
        eventTypes: ["order.*"],
        targetUrl: receiver.url,
        legacySignature: markerOf(block, "handler") === "legacy",
        maxRetries: 0,
      });
      ({ secret } = subscription);
      return { receiver, forget: () => (secret = vectors[0].secret) };
    }),
  );
  const publish = (): Promise<unknown> =>
    callApi(server.apiUrl, {
      method: "POST",
      path: "/api/events",
      body: { type: "order.created", source: "shop", data: { name: "Žluťoučký", total: 1.5 } },
    });
  await publish();
  await eventually("the deliveries", () => cases.every(({ receiver }) => receiver.answers.length === 1) || undefined);
  for (const { forget } of cases) forget();
  await publish();
  await eventually("the refusals", () => cases.every(({ receiver }) => receiver.answers.length === 2) || undefined);
  expect(cases.map(({ receiver }) => receiver.answers)).toEqual(cases.map(() => [204, 401]));
});

test("programs of getting started run and print", async () => {
  const path = "docs/guides/getting-started.md";
  const server = await setup();
  const programs = blocksOf(path).filter((block) => block.language === "ts");
  expect(programs.length).toBeGreaterThan(0);
  for (const block of programs) {
    const file = fileOf(path, block, withPorts(block.code, server.ports));
    const program = Bun.spawn([process.execPath, "--no-install", file], {
      cwd: folder,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([new Response(program.stdout).text(), new Response(program.stderr).text()]);
    expect(`${await program.exited} ${err}`).toBe("0 ");
    expect(out).toStartWith("evt_");
  }
});
