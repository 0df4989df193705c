import manifest from "../package.json" with { type: "json" };
import { commandLineOf, startsService } from "./invoked-as.ts";
import { ensureRequestLimit } from "./request-limit.ts";

/**
 * The entry of the executable and of the npm launcher. Little is imported before it is known that this process is the
 * one that stays.
 */
async function main(): Promise<number> {
  const args = commandLineOf(process);
  const interrupted = new AbortController();
  if (startsService(args)) {
    const step = await ensureRequestLimit();
    if (step.kind === "ended") return step.exitCode;
  } else {
    process.once("SIGINT", () => interrupted.abort());
  }
  const { runCommandLine } = await import("./program.ts");
  return runCommandLine(
    args,
    {
      variables: process.env,
      isTerminal: process.stdout.isTTY === true,
      out: (text) => process.stdout.write(`${text}\n`),
      err: (text) => process.stderr.write(`${text}\n`),
      signal: interrupted.signal,
      readInput: () => Bun.stdin.text(),
    },
    manifest.version,
  );
}

process.exit(await main());
