import { createProgram, examplesOf, exitCodeLines, type Environment } from "@flowcatalyst/cli";
import { generatedFrom, type Generator, tableCell } from "./generator.ts";

/** For the test that runs the commands of the documents. */
const notRun = "<!-- not run: test/e2e/cli-examples.test.ts runs each, with ids filled in -->";

type Command = ReturnType<typeof createProgram>;

/** Nothing is run: the commands are only looked at. */
const nowhere: Environment = {
  variables: {},
  isTerminal: false,
  isInteractive: false,
  out: () => undefined,
  err: () => undefined,
  signal: new AbortController().signal,
  readInput: async () => "",
};

const intro = `The commands of \`flowcatalyst\`, as \`--help\` tells them.

Answers go to standard output: a table for people, with \`--json\` one JSON document (one a line where a command
follows something). Everything else goes to standard error; with \`--json\` an error is a document
\`{"error": {"code", "message", "exitCode", …}}\` there. Colours appear only on a terminal, and never with \`NO_COLOR\`.
What takes something away shows with \`--dry-run\` what it is about, and asks; where nobody can be asked, it wants
\`--yes\`.
`;

/** docs/reference/command-line.md: every command with its options and examples, and the exit codes. */
export const commandLinePage: Generator = {
  path: "docs/reference/command-line.md",
  produce: async () => {
    const program = createProgram(nowhere, "");
    const leaves = leavesOf(program);
    const codes = exitCodeLines.map(({ code, meaning }) => `| ${code} | ${meaning} |`);
    const parts = [
      generatedFrom("packages/cli/src"),
      "# Command line\n",
      intro,
      "## Exit codes\n",
      ["| code | meaning |", "|---|---|", ...codes, ""].join("\n"),
      "## Options of every command\n",
      `${optionTable(program)}\n`,
      ...leaves.map((leaf) => section(leaf)),
    ];
    return parts.join("\n").trimEnd() + "\n";
  },
};

/** Groups that do something without one of their commands. */
const actsItself: readonly string[] = ["replay", "outbox"];

/** Commands that do something themselves, in the order of `--help`. */
function leavesOf(command: Command): readonly Command[] {
  return command.commands.flatMap((child) => {
    const isHidden = !command.createHelp().visibleCommands(command).includes(child);
    if (isHidden) return [];
    const below = leavesOf(child);
    return below.length === 0 || actsItself.includes(child.name()) ? [child, ...below] : below;
  });
}

function section(command: Command): string {
  const examples = examplesOf(command);
  const description = command.description() === "" ? command.summary() : command.description();
  const parts = [`## \`${pathOf(command)} ${operandsOf(command)}`.trimEnd() + "`\n", `${sentence(description)}\n`];
  if (command.options.length > 0) parts.push(`${optionTable(command)}\n`);
  if (examples.length > 0) parts.push(`${notRun}\n\`\`\`sh\n${examples.join("\n")}\n\`\`\`\n`);
  return parts.join("\n");
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function operandsOf(command: Command): string {
  return command.registeredArguments.map((argument) => `<${argument.name()}>`).join(" ");
}

function sentence(text: string): string {
  const capitalised = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.]$/.test(capitalised) ? capitalised : `${capitalised}.`;
}

function optionTable(command: Command): string {
  const help = command.createHelp();
  const rows = command.options.map(
    (option) => `| \`${tableCell(option.flags)}\` | ${tableCell(help.optionDescription(option))} |`,
  );
  return ["| option | meaning |", "|---|---|", ...rows].join("\n");
}
