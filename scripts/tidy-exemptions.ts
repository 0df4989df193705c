/**
 * Every exemption from the house rules, with its reason. The list only shrinks: an entry that nothing needs any more is
 * reported by `scripts/tidy.ts` like any other violation.
 */
export interface Exemption {
  readonly rule: string;
  /** A file, or a folder when it ends in a slash. */
  readonly path: string;
  readonly reason: string;
}

export const EXEMPTIONS: readonly Exemption[] = [
  { rule: "unfinished", path: "scripts/tidy-rules.ts", reason: "states the rule" },
  { rule: "own-words", path: "scripts/tidy-rules.ts", reason: "states the rule" },
  { rule: "given-time-and-chance", path: "packages/foundation/src/clock.ts", reason: "is the clock that is passed in" },
  {
    rule: "given-time-and-chance",
    path: "packages/foundation/src/random.ts",
    reason: "is the chance that is passed in",
  },
  {
    rule: "whole-suite",
    path: "packages/server/src/ports/needs-services.fixture.ts",
    reason: "is what skips, by rule",
  },
  { rule: "given-time-and-chance", path: "packages/sdk/", reason: "runs in applications, on the runtime's own clock" },
  { rule: "given-time-and-chance", path: "packages/cli/", reason: "a command lives with its user, in real time" },
  {
    rule: "port-suite",
    path: "packages/server/src/ports/transport.ts",
    reason: "one adapter, proved by the tests beside it in net/; a second one brings the suite",
  },
  ...["named-exports", "type-escape", "line-length", "file-name", "file-budget"].map((rule) => ({
    rule,
    path: "examples/outbox-prisma/generated/",
    reason: "is written by `prisma generate`",
  })),
];
