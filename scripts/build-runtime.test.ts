import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { integrityOf, runtimePin, writeRuntime } from "./build-runtime.ts";
import { BUILD_TARGETS, type BuildTarget } from "./build-targets.ts";
import { ROOT } from "./run-command.ts";

const target = BUILD_TARGETS[0] as BuildTarget;
const version = "9.9.9";

const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true })));

async function packageOf(text: string): Promise<Uint8Array> {
  const archive = new Bun.Archive({ [target.runtimeFile]: text, "package/package.json": "{}" }, { compress: "gzip" });
  return archive.bytes();
}

/** An empty project, and a registry that has one package. */
function setup(inRegistry: Uint8Array) {
  const root = mkdtempSync(join(tmpdir(), "runtime-"));
  roots.push(root);
  const fetched: string[] = [];
  const fetchPackage = async (spec: string, directory: string): Promise<void> => {
    fetched.push(spec);
    await Bun.write(join(directory, `oven-bun-linux-x64-${version}.tgz`), inRegistry);
  };
  const cache = join(root, "node_modules/.cache/flowcatalyst-runtimes");
  mkdirSync(cache, { recursive: true });
  const write = (integrity: string): Promise<void> =>
    writeRuntime({ root, fetchPackage }, target, { pin: { version, integrity }, path: join(root, "runtime") });
  const written = (): Promise<string> => Bun.file(join(root, "runtime")).text();
  return { root, cache, fetched, write, written };
}

async function faultOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => "none", String);
}

describe("runtimes of other platforms", () => {
  test("each is pinned, for the Bun that is installed", async () => {
    for (const one of BUILD_TARGETS) {
      const pin = await runtimePin(ROOT, one, Bun.version);
      expect(pin.integrity).toStartWith("sha512-");
    }
    expect(await faultOf(runtimePin(ROOT, target, "0.0.1"))).toContain("this is Bun 0.0.1; run `npm ci`");
    const unknown = { ...target, runtimePackage: "@oven/bun-plan9" };
    expect(await faultOf(runtimePin(ROOT, unknown, Bun.version))).toContain("does not pin @oven/bun-plan9");
  });

  test("one is fetched once, and taken from what was kept", async () => {
    const content = await packageOf("the runtime");
    const { write, written, fetched, root } = setup(content);
    await write(integrityOf(content));
    await Bun.write(join(root, "runtime"), "");
    await write(integrityOf(content));
    expect(await written()).toBe("the runtime");
    expect(fetched).toEqual([`@oven/bun-linux-x64@${version}`]);
  });

  test("what is not pinned is neither used nor kept", async () => {
    const { write, root, cache } = setup(await packageOf("another runtime"));
    expect(await faultOf(write(integrityOf(await packageOf("the runtime"))))).toContain(
      "is not what package-lock.json pins",
    );
    expect(await Bun.file(join(root, "runtime")).exists()).toBe(false);
    expect(readdirSync(cache)).toEqual([]);
  });

  test("a kept package that was damaged is fetched again", async () => {
    const content = await packageOf("the runtime");
    const { write, written, fetched, cache } = setup(content);
    await Bun.write(join(cache, `oven-bun-linux-x64-${version}.tgz`), content.subarray(0, 50));
    await write(integrityOf(content));
    expect(await written()).toBe("the runtime");
    expect(fetched).toHaveLength(1);
  });
});
