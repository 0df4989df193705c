import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, runCommand } from "../run-command.ts";
import { generatedFrom, type FolderGenerator } from "./generator.ts";

const TIME_LIMIT_MS = 180_000;
const SDK = "packages/sdk";

/** What TypeDoc is told: a page for each entry, and nothing that changes without the SDK, such as lines of sources. */
const OPTIONS = [
  `--plugin typedoc-plugin-markdown --tsconfig ${SDK}/tsconfig.json --name @flowcatalyst/sdk`,
  "--outputFileStrategy modules --readme none --disableSources --excludeExternals --excludeInternal --excludePrivate",
  "--hideBreadcrumbs --hidePageHeader --useCodeBlocks --treatWarningsAsErrors --logLevel Warn",
  "--parametersFormat table --interfacePropertiesFormat table --classPropertiesFormat table",
  "--typeDeclarationFormat table --intentionallyNotExported DataMember",
].flatMap((line) => line.split(" "));

/** The reference of the SDK, made of its comments and types by TypeDoc. */
export const sdkReference: FolderGenerator = {
  folder: "docs/reference/sdk",
  produceFiles: async () => {
    const { exports } = (await Bun.file(join(ROOT, SDK, "package.json")).json()) as {
      readonly exports: Readonly<Record<string, string>>;
    };
    const entries = Object.values(exports).flatMap((path) => ["--entryPoints", join(SDK, path)]);
    const out = await mkdtemp(join(tmpdir(), "flowcatalyst-sdk-reference-"));
    try {
      const command = ["typedoc", ...OPTIONS, ...entries, "--out", out];
      const { exitCode, output } = await runCommand(command, { echo: false, timeoutMs: TIME_LIMIT_MS });
      if (exitCode !== 0) throw new Error(output);
      const names = await Array.fromAsync(new Bun.Glob("**/*.md").scan(out));
      const files = names.sort().map(async (name) => {
        const text = await Bun.file(join(out, name)).text();
        return [name, `${generatedFrom("the comments of packages/sdk/src")}\n${text.trimEnd()}\n`] as const;
      });
      return new Map(await Promise.all(files));
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  },
};
