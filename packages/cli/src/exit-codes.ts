import { exitCodes } from "@flowcatalyst/foundation";

const meanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: "ok",
  failed: "failed",
  usage: "wrong usage",
  refused: "the server found it not valid",
  notPermitted: "not permitted",
  notFound: "not found",
  conflict: "in conflict with what is there",
  unavailable: "server not reached or overloaded",
};

/** What `--help` says about the exit codes of every command. */
export const exitCodeHelp = `\nExit codes: ${Object.entries(exitCodes)
  .map(([name, code]) => `${code} ${meanings[name as keyof typeof exitCodes]}`)
  .join(", ")}.`;
