import { type ErrorCodeEntry, errorCodes, type ErrorScope, exitCodeFor, isErrorCode } from "@flowcatalyst/foundation";
import { generatedFrom, type Generator, tableCell } from "./generator.ts";

const SECTIONS: ReadonlyArray<{ readonly scope: ErrorScope; readonly heading: string; readonly intro: string }> = [
  {
    scope: "request",
    heading: "Answers to requests",
    intro:
      "Problem documents (`application/problem+json`) carry the code in `code`. The last column is what the CLI " +
      "exits with when a server answers so.",
  },
  {
    scope: "process",
    heading: "A process that cannot start or go on",
    intro:
      "It prints one line with the code, what is wrong and what to do, and exits with the code in the last column.",
  },
  {
    scope: "delivery",
    heading: "Recorded with a job, an attempt or a message",
    intro: "Nobody is waiting for an answer there; the code is kept with what was set aside or held.",
  },
];

/** docs/reference/errors.md: every code, what it means and what to do. */
export const errorPage: Generator = {
  path: "docs/reference/errors.md",
  produce: async () => {
    const parts = SECTIONS.map((section) => `## ${section.heading}\n\n${section.intro}\n\n${table(section.scope)}\n`);
    return `${generatedFrom("packages/foundation/src/error-codes.ts")}\n# Error codes\n\n${parts.join("\n")}`;
  },
};

function table(scope: ErrorScope): string {
  const rows = Object.entries<ErrorCodeEntry>(errorCodes)
    .filter(([, entry]) => entry.scope === scope)
    .map(([code, entry]) => row(code, entry));
  const request = scope === "request";
  const head = [
    "code",
    ...(request ? ["status"] : []),
    "meaning",
    "what to do",
    ...(scope === "delivery" ? [] : ["exit"]),
  ];
  return [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows].join("\n");
}

function row(code: string, entry: ErrorCodeEntry): string {
  const status = entry.scope === "request" ? [String(entry.status)] : [];
  const exit = entry.scope !== "delivery" && isErrorCode(code) ? [String(exitCodeFor(code))] : [];
  const cells = [`\`${code}\``, ...status, tableCell(entry.title), tableCell(entry.advice), ...exit];
  return `| ${cells.join(" | ")} |`;
}
