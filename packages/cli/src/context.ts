import type { Command } from "commander";
import { CodedError, withoutPasswords } from "@flowcatalyst/foundation";
import {
  createClient,
  createRouterClient,
  type ClientOptions,
  type FlowCatalystClient,
  type RouterClient,
} from "@flowcatalyst/sdk";
import { createTerminal, type Terminal } from "./terminal.ts";

/** What a command works with: the client of the server named by its options, and the terminal. */
export interface CommandContext {
  /** Its calls end with Ctrl-C. */
  readonly client: FlowCatalystClient;
  /** For what is still to be said to the server after Ctrl-C; tries once, for at most 5 s. */
  readonly partingClient: FlowCatalystClient;
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C; commands that follow something end then. */
  readonly signal: AbortSignal;
}

export interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Whether answers go to a terminal. */
  readonly isTerminal: boolean;
  /** Whether somebody is there who can be asked. */
  readonly isInteractive: boolean;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly signal: AbortSignal;
  /** Standard input as text; asked only by commands that read it. */
  readonly readInput: () => Promise<string>;
}

export const defaultUrl = "http://127.0.0.1:8080";
const defaultRouterUrl = "http://127.0.0.1:8081";

/** A person waits: one more try after a lost connection or an overload is enough. */
const maxRetries = 1;
const partingTimeoutMs = 5_000;

interface GlobalOptions {
  readonly url?: string;
  readonly token?: string;
  readonly json?: boolean;
}

export function contextOf(command: Command, environment: Environment): CommandContext {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { variables, signal } = environment;
  const server: ClientOptions = {
    baseUrl: baseUrlOf(options.url ?? variables["FC_API_BASE_URL"] ?? defaultUrl),
    ...tokenOf(options, environment),
  };
  return {
    client: createClient({ ...server, maxRetries, signal }),
    partingClient: createClient({ ...server, maxRetries: 0, timeoutMs: partingTimeoutMs }),
    terminal: createTerminal({
      json: options.json ?? false,
      colour: environment.isTerminal && (variables["NO_COLOR"] ?? "") === "" && variables["TERM"] !== "dumb",
      out: environment.out,
      err: environment.err,
    }),
    signal,
  };
}

/** The option of commands that talk to a router. */
export function withRouterUrl(command: Command): Command {
  return command.option("--router-url <url>", `router API (FC_ROUTER_URL, else ${defaultRouterUrl})`);
}

/** The router named by the options; its calls end with Ctrl-C. */
export function routerClientOf(command: Command, environment: Environment): RouterClient {
  const options = command.optsWithGlobals<GlobalOptions & { readonly routerUrl?: string }>();
  const { variables, signal } = environment;
  const given = options.routerUrl ?? variables["FC_ROUTER_URL"] ?? "";
  const baseUrl = given === "" ? defaultRouterUrl : baseUrlOf(given, "router API", defaultRouterUrl);
  return createRouterClient({ baseUrl, ...tokenOf(options, environment), maxRetries, signal });
}

function tokenOf(options: GlobalOptions, { variables }: Environment): { readonly token?: string } {
  const token = options.token ?? variables["FC_API_TOKEN"] ?? "";
  return token === "" ? {} : { token };
}

function baseUrlOf(text: string, what = "platform API", example = defaultUrl): string {
  const url = URL.parse(text);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return text;
  throw usageError(`"${withoutPasswords(text)}" is no address of a ${what}; it looks like ${example}`);
}

/** The command line is wrong in a way that commander cannot see. */
export function usageError(message: string): CodedError {
  return new CodedError("USAGE_INVALID", { message });
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
