import { exitCodes } from "@flowcatalyst/foundation";

/**
 * Ended by Ctrl-C before it was done: 128 + SIGINT, as shells have it. `listen` and services end so by intent, with 0.
 */
export const exitCodeInterrupted = 130;

const meanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: "done",
  failed: "failed, or what was waited for did not happen",
  usage: "the command line is wrong, or --yes is missing",
  refused: "the server found the request not valid",
  notPermitted: "not permitted: the token is missing or wrong",
  notFound: "not found",
  conflict: "in conflict with what is there",
  unavailable: "the server is not reached, overloaded, or limits: try again later",
};

/** Every exit code of a command, with what it means. */
export const exitCodeLines: readonly { readonly code: number; readonly meaning: string }[] = [
  ...Object.entries(exitCodes).map(([name, code]) => ({ code, meaning: meanings[name as keyof typeof exitCodes] })),
  { code: exitCodeInterrupted, meaning: "interrupted" },
];

/** What `--help` says about the exit codes of every command. */
export const exitCodeHelp = [
  "\nExit codes:",
  ...exitCodeLines.map(({ code, meaning }) => `  ${String(code).padEnd(3)}  ${meaning}`),
].join("\n");
