import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { openOutboxAt } from "../../packages/server/src/main/outbox-source-at.ts";
import { eventually } from "../harness/eventually.ts";
import { freePorts, removeDataDir, startServer, temporaryDataDir } from "../harness/server-process.ts";
import { anchorsOf, blocksOf, markerOf, ownLinksOf, root, type Block } from "./markdown.ts";
import { createShellSession, readersFolder, withPorts, type ShellSession } from "./shell-session.ts";

/** What a reader does with the documents: follow the links, and paste the commands. */
const documents = [
  ...new Bun.Glob("*.md").scanSync({ cwd: root }),
  ...Array.from(new Bun.Glob("{docs,examples}/**/*.md").scanSync({ cwd: root })),
].toSorted();

const soonMs = 10_000;
const timeLimitMs = 60_000;

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const standaloneGuide = "docs/guides/standalone-router.md";

/** The guide's own receiver and pools, with a router beside them. */
async function setupStandalone(dataDir: string): Promise<ShellSession> {
  const codeOf = (language: string): string =>
    blocksOf(standaloneGuide).find((block) => block.language === language)?.code ?? "";
  const ports = await freePorts();
  const receiver = Bun.spawn([process.execPath, "-e", withPorts(codeOf("js"), ports)], { stdio: [null, null, null] });
  closing.push(() => receiver.kill());
  const pools = join(dataDir, "pools.toml");
  await Bun.write(pools, codeOf("toml"));
  const server = await startServer({
    dataDir,
    ports,
    args: ["router", "--queue", `sqlite:${join(dataDir, "queue.db")}`, "--pools", pools],
    env: { FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8", WEBHOOK_SECRET: `whsec_${btoa("a secret of this test")}` },
  });
  closing.push(() => server.kill());
  const session = createShellSession(server.ports);
  closing.push(() => session.close());
  return session;
}

/** The guide has the reader make the table before the server is started. */
async function outboxIn(folder: string): Promise<Record<string, string>> {
  const outboxDbUrl = `sqlite:${join(folder, "shop.db")}`;
  const outbox = await openOutboxAt({ outboxDbUrl, outboxMode: "platform", outboxTable: undefined });
  await outbox.init();
  await outbox.source.close();
  return { FC_OUTBOX_DB_URL: outboxDbUrl };
}

async function setup(document: string): Promise<ShellSession> {
  const dataDir = temporaryDataDir();
  closing.push(() => removeDataDir(dataDir));
  if (document === standaloneGuide) return setupStandalone(dataDir);
  const folder = readersFolder();
  const server = await startServer({
    dataDir,
    // The page of the queues is about the router on its own.
    ...(document.endsWith("/queues.md")
      ? {
          args: ["router", "--queue", `sqlite:${join(dataDir, "queue.db")}`],
          env: { FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8" },
        }
      : {}),
    ...(document.endsWith("/transactional-outbox.md") ? { env: await outboxIn(folder) } : {}),
  });
  closing.push(() => server.kill());
  const session = createShellSession(server.ports, folder);
  closing.push(() => session.close());
  return session;
}

function isShell({ language }: Block): boolean {
  return language === "sh" || language === "bash" || language === "shell";
}

async function follow(block: Block, session: ShellSession): Promise<void> {
  const soon = block.markers.filter(({ name }) => name === "shows soon");
  const attempt = async (): Promise<string> => {
    const { output, exitCode } = await session.run(block.code);
    expect(`exit code ${exitCode}\n${exitCode === 0 ? "" : output}`).toBe("exit code 0\n");
    return output;
  };
  const lacks = (output: string): boolean => soon.some(({ text }) => !output.includes(session.translated(text)));
  const output =
    soon.length === 0
      ? await attempt()
      : await eventually(
          soon.map(({ text }) => text).join(", "),
          async () => {
            const now = await attempt();
            return lacks(now) ? undefined : now;
          },
          soonMs,
        );
  for (const { name, text } of block.markers) if (name === "shows") expect(output).toContain(session.translated(text));
}

/** The commands of examples start what the tests of the examples start. */
const shellDocuments = documents.filter((path) => !path.startsWith("examples/") && blocksOf(path).some(isShell));

describe.each(shellDocuments)("commands of %s", (path) => {
  const blocks = blocksOf(path).filter(isShell);
  const toRun = blocks.filter((block) => markerOf(block, "not run") === undefined);

  test("each is run, or says why not", () => {
    const silent = blocks.filter((block) => markerOf(block, "not run") === "");
    expect(silent.map(({ line }) => `${path}:${line}`)).toEqual([]);
  });

  if (toRun.length > 0) {
    test(
      "do what the page says",
      async () => {
        const session = await setup(path);
        for (const block of toRun) {
          await follow(block, session).catch((error: unknown) => {
            throw new Error(`${path}:${block.line}: ${error instanceof Error ? error.message : String(error)}`, {
              cause: error,
            });
          });
        }
      },
      timeLimitMs,
    );
  }
});

test("markers are known ones", () => {
  const known = new Set(["not run", "shows", "shows soon", "handler", "ddl", "from"]);
  const unknown = documents.flatMap((path) =>
    blocksOf(path).flatMap(({ line, markers }) =>
      markers.filter(({ name }) => !known.has(name)).map(({ name }) => `${path}:${line}: ${name}`),
    ),
  );
  expect(unknown).toEqual([]);
});

test("links lead somewhere", () => {
  const broken: string[] = [];
  for (const path of documents) {
    for (const { target, line } of ownLinksOf(path)) {
      const [file = "", anchor] = target.split("#");
      const linked = file === "" ? path : normalize(join(dirname(path), file));
      const hasAnchor = anchor === undefined || (existsSync(join(root, linked)) && anchorsOf(linked).has(anchor));
      if (!existsSync(join(root, linked)) || !hasAnchor) broken.push(`${path}:${line}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});
