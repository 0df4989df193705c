import { beforeAll, describe, expect, test } from "bun:test";
import { dirname, join, resolve } from "node:path";
import { createContext, SourceTextModule, type Module } from "node:vm";
import type * as sdk from "@flowcatalyst/sdk";
import { builtSdk } from "../../scripts/build-sdk.ts";
import { runCommand } from "../../scripts/run-command.ts";

/**
 * What is published of the SDK: that tools for packages find nothing wrong, and that it runs wherever the web's APIs
 * are.
 */
const buildTimeoutMs = 120_000;
const toolTimeoutMs = 60_000;
let folder: string;
beforeAll(async () => {
  folder = await builtSdk();
}, buildTimeoutMs);

interface Manifest {
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
}

const manifest = async (): Promise<Manifest> => (await Bun.file(join(folder, "package.json")).json()) as Manifest;

async function filesOf(pattern: string): Promise<readonly { readonly name: string; readonly text: string }[]> {
  const names = await Array.fromAsync(new Bun.Glob(pattern).scan(folder));
  return Promise.all(names.map(async (name) => ({ name, text: await Bun.file(join(folder, name)).text() })));
}

const importsOf = (text: string): readonly string[] =>
  [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map(([, specifier = ""]) => specifier);

describe("the package", () => {
  const clean = async (command: readonly string[], says: string): Promise<void> => {
    const { exitCode, output } = await runCommand([...command], { echo: false, timeoutMs: toolTimeoutMs });
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: expect.stringContaining(says) });
  };

  test("is clean for publint", () => clean(["publint", "--strict", folder], "All good!"), toolTimeoutMs);

  test(
    "has types for every entry, by the rules of ESM and of bundlers (attw)",
    () => clean(["attw", "--pack", folder, "--profile", "esm-only", "--no-emoji"], "@flowcatalyst/sdk/outbox"),
    toolTimeoutMs,
  );

  test("depends on nothing: its files import one another only, its types too", async () => {
    const foreign = [...(await filesOf("**/*.js")), ...(await filesOf("**/*.d.ts"))].flatMap(({ name, text }) =>
      importsOf(text.replaceAll(/\/\*[\s\S]*?\*\//g, ""))
        .filter((specifier) => !/^\.{1,2}\/.*\.js$/.test(specifier))
        .map((specifier) => `${name} imports ${specifier}`),
    );
    expect(foreign).toEqual([]);
    expect(await Bun.file(join(folder, "package.json")).json()).not.toHaveProperty("dependencies");
  });

  test("has no tests in it", async () => {
    expect(
      (await filesOf("**/*")).filter(({ name }) => /test\.(js|d\.ts)$|fixture/.test(name)).map(({ name }) => name),
    ).toEqual([]);
  });
});

/** What browsers, Deno, Node and Bun all have; nothing of `process`, `Buffer` or `require`. */
const webGlobals = {
  AbortController,
  AbortSignal,
  Blob,
  Headers,
  Request,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
  atob,
  btoa,
  clearTimeout,
  console,
  crypto,
  fetch,
  queueMicrotask,
  setTimeout,
  structuredClone,
};

describe("every entry", () => {
  test("names nothing of one runtime", async () => {
    const own = /\b(process|Buffer|require|__dirname|Bun|Deno|global)\b(?=\s*[.([])/;
    const found = (await filesOf("**/*.js")).flatMap(({ name, text }) => {
      const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, '""');
      const hit = own.exec(code);
      return hit === null ? [] : [`${name}: ${hit[0]}`];
    });
    expect(found).toEqual([]);
  });

  test("loads where there are only the web's APIs", async () => {
    const context = createContext({ ...webGlobals });
    const loaded = new Map<string, Module>();
    const load = async (path: string): Promise<Module> => {
      const known = loaded.get(path);
      if (known !== undefined) return known;
      const module = new SourceTextModule(await Bun.file(path).text(), { context, identifier: path });
      loaded.set(path, module);
      return module;
    };
    for (const { default: entry } of Object.values((await manifest()).exports)) {
      const module = await load(join(folder, entry));
      if (module.status === "unlinked") {
        await module.link((specifier, from) => load(resolve(dirname(from.identifier), specifier)));
      }
      await module.evaluate();
      expect(Object.keys(module.namespace)).not.toBeEmpty();
    }
    const { createClient } = (await load(join(folder, "index.js"))).namespace as Pick<typeof sdk, "createClient">;
    const sent: Request[] = [];
    const answer = (url: string, init: RequestInit): Promise<Response> => {
      sent.push(new Request(url, init));
      return Promise.resolve(Response.json({ id: "evt_1" }, { status: 201 }));
    };
    const client = createClient({ baseUrl: "http://platform.example", fetch: answer });
    expect(await client.publish({ type: "order.placed", source: "shop" })).toMatchObject({ id: "evt_1" });
    expect(sent.map(({ url }) => url)).toEqual(["http://platform.example/api/events"]);
  });
});
