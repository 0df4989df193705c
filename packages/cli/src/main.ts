import manifest from "../package.json" with { type: "json" };
import { commandLineOf } from "./invoked-as.ts";
import { runCommandLine } from "./program.ts";

/** The entry of the executable and of the npm launcher. */
const interrupted = new AbortController();
const args = commandLineOf(process.argv, process.execPath);
const isService = args[0] === "dev" || args[0] === "router";
if (!isService) process.once("SIGINT", () => interrupted.abort());

process.exit(
  await runCommandLine(
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
  ),
);
