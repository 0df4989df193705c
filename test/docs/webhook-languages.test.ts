import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import vectorsFile from "../../docs/reference/webhook-vectors.json" with { type: "json" };
import { blocksOf } from "./markdown.ts";
import { webhookLanguages, writeProgram, type WebhookLanguage } from "./webhook-languages.ts";

/** The verifiers of the guide, in each language that this machine has, over the vectors. */
const guide = "docs/guides/verifying-webhooks.md";
const timeLimitMs = 180_000;

interface Vector {
  readonly name: string;
  readonly scheme: string;
  readonly bodyBase64: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly secrets: readonly string[];
  readonly nowSeconds: number;
  readonly verifies: boolean;
}

const vectors: readonly Vector[] = vectorsFile.vectors;
const standard = vectors.filter(({ scheme }) => scheme === "standard");
const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-languages-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines = standard.map(({ nowSeconds, bodyBase64, secrets, headers }) => {
  const { "webhook-id": id = "", "webhook-timestamp": timestamp = "", "webhook-signature": signature = "" } = headers;
  return [nowSeconds, bodyBase64, secrets.join(","), id, timestamp, signature].join("\t");
});

async function printed(command: readonly string[], cwd: string, input = ""): Promise<string> {
  const program = Bun.spawn([...command], {
    cwd,
    env: { ...process.env, GOTOOLCHAIN: "local", GOFLAGS: "-mod=mod" },
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([new Response(program.stdout).text(), new Response(program.stderr).text()]);
  if ((await program.exited) !== 0) throw new Error(`${command.join(" ")}: ${err}`);
  return out;
}

function programOf(language: WebhookLanguage): string {
  const block = blocksOf(guide).find((candidate) => candidate.language === language.language);
  if (block === undefined) throw new Error(`the guide has no ${language.language}`);
  const into = mkdtempSync(join(folder, language.language));
  writeProgram(language, block.code, into);
  return into;
}

/** What this machine lacks for a language. */
function missingFor(language: WebhookLanguage): readonly string[] {
  const tools = language.tools.filter((tool) => Bun.which(tool) === null);
  if (tools.length > 0 || language.libraries === undefined) return tools;
  const fetched = Bun.spawnSync([...language.libraries], {
    cwd: programOf(language),
    stdout: "ignore",
    stderr: "ignore",
  });
  return fetched.success ? [] : ["its libraries"];
}

async function answersOf(language: WebhookLanguage): Promise<readonly string[]> {
  const into = programOf(language);
  if (language.build !== undefined) await printed(language.build, into);
  return (await printed(language.run, into, `${lines.join("\n")}\n`)).trimEnd().split("\n");
}

for (const language of webhookLanguages) {
  const missing = missingFor(language);
  const name = missing.length === 0 ? language.language : `${language.language} (needs ${missing.join(", ")})`;
  test.skipIf(missing.length > 0)(
    `tells the good vectors from the bad: ${name}`,
    async () => {
      const answers = await answersOf(language);
      const said = standard.map(({ name: vector }, at) => [vector, answers[at]]);
      expect(said).toEqual(standard.map(({ name: vector, verifies }) => [vector, String(verifies)]));
    },
    timeLimitMs,
  );
}

test("the guide has no other language, and each of them once", () => {
  const known = new Set(webhookLanguages.map(({ language }) => language));
  const languages = blocksOf(guide).map(({ language }) => language);
  expect(languages.filter((language) => language !== "ts").toSorted()).toEqual([...known].toSorted());
});
