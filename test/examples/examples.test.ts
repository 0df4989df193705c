import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** That every example is whole, listed and proven. What each does is proven by the test of its name. */
const root = join(import.meta.dir, "../..");
const names = readdirSync(join(root, "examples"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

interface Manifest {
  readonly name?: string;
  readonly type?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const manifestAt = (path: string): Manifest => JSON.parse(readFileSync(join(root, path), "utf8")) as Manifest;

test.each(names)("%s has a project, a page and a test", (name) => {
  const files = [
    ...["package.json", "README.md", "main.ts"].map((file) => `examples/${name}/${file}`),
    `test/examples/${name}.test.ts`,
  ];
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test.each(names)("%s names its libraries at the versions it is proven with", (name) => {
  const given = manifestAt(`examples/${name}/package.json`);
  const ours = manifestAt("package.json");
  const sdk = manifestAt("packages/sdk/package.json") as Manifest & { readonly version: string };
  const versions: Readonly<Record<string, string>> = {
    ...ours.devDependencies,
    ...ours.dependencies,
    "@flowcatalyst/sdk": sdk.version,
  };
  expect(given.name).toBe(`@flowcatalyst/example-${name}`);
  expect(given.type).toBe("module");
  const wrong = Object.entries({ ...given.dependencies, ...given.devDependencies }).filter(
    ([library, version]) => versions[library] !== version,
  );
  expect(wrong).toEqual([]);
});

test("the list of examples names each, and no other", () => {
  const page = readFileSync(join(root, "examples/README.md"), "utf8");
  const listed = [...page.matchAll(/\]\(([^)]+)\/README\.md\)/g)].map(([, name = ""]) => name);
  expect(listed.toSorted()).toEqual(names.toSorted());
});
