import type { Command } from "commander";
import { createClient, type FlowCatalystClient } from "@flowcatalyst/sdk";
import { createTerminal, type Terminal } from "./terminal.ts";

/** What a command works with: the client of the server named by its options, and the terminal. */
export interface CommandContext {
  readonly client: FlowCatalystClient;
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C; commands that follow something end then. */
  readonly signal: AbortSignal;
}

export interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly isTerminal: boolean;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly signal: AbortSignal;
  /** Standard input as text; asked only by commands that read it. */
  readonly readInput: () => Promise<string>;
}

export const defaultUrl = "http://127.0.0.1:8080";

interface GlobalOptions {
  readonly url?: string;
  readonly token?: string;
  readonly json?: boolean;
}

export function contextOf(command: Command, environment: Environment): CommandContext {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { variables } = environment;
  const token = options.token ?? variables["FC_API_TOKEN"];
  return {
    client: createClient({
      baseUrl: options.url ?? variables["FC_API_BASE_URL"] ?? defaultUrl,
      ...(token === undefined || token === "" ? {} : { token }),
    }),
    terminal: createTerminal({
      json: options.json ?? false,
      colour: environment.isTerminal && (variables["NO_COLOR"] ?? "") === "" && variables["TERM"] !== "dumb",
      out: environment.out,
      err: environment.err,
    }),
    signal: environment.signal,
  };
}

/** Adds the examples to `--help`. A test runs every one of them; words in angle brackets stand for ids it fills in. */
export function withExamples(command: Command, examples: readonly string[]): Command {
  examplesByCommand.set(command, examples);
  return command.addHelpText("after", `\nExamples:\n${examples.map((example) => `  $ ${example}`).join("\n")}`);
}

const examplesByCommand = new WeakMap<Command, readonly string[]>();

export function examplesOf(command: Command): readonly string[] {
  return examplesByCommand.get(command) ?? [];
}
