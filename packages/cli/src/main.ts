import manifest from "../package.json" with { type: "json" };
import { commandLineOf, startsService } from "./invoked-as.ts";
import { ensureRequestLimit } from "./request-limit.ts";
import { createStandardOutput } from "./standard-output.ts";

/**
 * The entry of the executable and of the npm launcher. Little is imported before it is known that this process is the
 * one that stays.
 */
async function main(): Promise<number> {
  const args = commandLineOf(process);
  const interrupted = new AbortController();
  if (startsService(args)) {
    const step = await ensureRequestLimit(process.env);
    if (step.kind === "ended") return step.exitCode;
  } else {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => interrupted.abort());
  }
  const [out, err] = [createStandardOutput(process.stdout), createStandardOutput(process.stderr)];
  const { runCommandLine } = await import("./program.ts");
  const exitCode = await runCommandLine(
    args,
    {
      variables: process.env,
      isTerminal: process.stdout.isTTY === true,
      isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
      out: (text) => out.print(text),
      err: (text) => err.print(text),
      signal: interrupted.signal,
      readInput: () => Bun.stdin.text(),
    },
    manifest.version,
  );
  await Promise.all([out.flushed(), err.flushed()]);
  return exitCode;
}

process.exit(await main());
