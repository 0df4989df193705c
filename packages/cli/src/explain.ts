import { CommanderError } from "commander";
import {
  CodedError,
  describeError,
  errorCodes,
  exitCodeFor,
  exitCodeForStatus,
  exitCodes,
  withoutPasswords,
  type ErrorCodeEntry,
  type FieldFault,
} from "@flowcatalyst/foundation";
import { FlowCatalystError } from "@flowcatalyst/sdk";
import { exitCodeInterrupted } from "./exit-codes.ts";

/** Why a command ended without what was asked for, and what to do about it. */
export interface Explanation {
  readonly code: string;
  readonly message: string;
  readonly advice?: string;
  /** What the server answered with, if it did. */
  readonly status?: number;
  readonly faults?: readonly FieldFault[];
  readonly exitCode: number;
}

export interface Situation {
  readonly hasToken: boolean;
  readonly interrupted: boolean;
}

/** Null where nothing is wrong: help and the version end a command by an error too. */
export function explanationOf(error: unknown, situation: Situation): Explanation | null {
  if (error instanceof CommanderError) return usageExplanation(error);
  if (situation.interrupted) return { code: "INTERRUPTED", message: "interrupted", exitCode: exitCodeInterrupted };
  if (error instanceof FlowCatalystError) return serverExplanation(error, situation);
  if (error instanceof CodedError) {
    const advice = startAdvice(error);
    return {
      code: error.code,
      message: messageOf(error),
      ...(advice === undefined ? {} : { advice }),
      exitCode: exitCodeFor(error.code),
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: "INTERNAL", message, exitCode: exitCodes.failed };
}

/** Of a database that this process asks itself, with what its driver says: the reader is who can make it good. */
function messageOf(error: CodedError): string {
  return error.code === "STORE_UNAVAILABLE" ? describeError(error) : error.publicMessage;
}

/** Of what keeps a process of this machine from starting, a usage error aside, whose message says it all. */
function startAdvice({ code }: CodedError): string | undefined {
  const { scope, advice }: ErrorCodeEntry = errorCodes[code];
  return scope === "process" && code !== "USAGE_INVALID" ? advice : undefined;
}

function usageExplanation(error: CommanderError): Explanation | null {
  if (error.exitCode === 0) return null;
  const message =
    error.code === "commander.help" ? "a command is missing" : withoutPasswords(error.message.replace(/^error: /, ""));
  return { code: "USAGE_INVALID", message, exitCode: exitCodes.usage };
}

function serverExplanation(error: FlowCatalystError, situation: Situation): Explanation {
  const advice = adviceFor(error, situation);
  return {
    code: error.code,
    message: error.message.replace(/\.$/, ""),
    ...(advice === undefined ? {} : { advice }),
    ...(error.status === 0 ? {} : { status: error.status }),
    ...(error.faults.length === 0 ? {} : { faults: error.faults }),
    exitCode: exitCodeForStatus(error.status),
  };
}

const unknownPath = "There is nothing at this path";

/** What somebody at a command line can do; the advice of the error codes is written for those who write requests. */
function adviceFor(error: FlowCatalystError, situation: Situation): string | undefined {
  switch (error.code) {
    case "SERVER_UNREACHABLE":
      return "start a server with `flowcatalyst dev`, or name another with --url or FC_API_BASE_URL";
    case "UNAUTHENTICATED":
      return situation.hasToken
        ? "the token of --token or FC_API_TOKEN is none of the server's FC_API_TOKENS"
        : "give one of the server's FC_API_TOKENS with --token or FC_API_TOKEN";
    case "TARGET_FORBIDDEN":
      return "the server allows more networks with FC_ALLOWED_TARGET_CIDRS";
    case "UNEXPECTED_ANSWER":
      return "is a FlowCatalyst platform API at that address? Name another with --url or FC_API_BASE_URL";
    case "NOT_FOUND":
      // Commands use only paths that a platform API of this version has.
      return error.message.startsWith(unknownPath) ? "is that a router, or an older server?" : undefined;
    default:
      return error.status === 429 || error.status === 503 ? "nothing was changed; try again later" : undefined;
  }
}

/** `error: what; what to do (CODE)`, and below it a line for each fault when there are several. */
export function explanationText(explanation: Explanation): string {
  const { message, advice, code, faults = [] } = explanation;
  const [first] = faults;
  // One fault is what the message says already; of several it only says how many.
  const what = faults.length > 1 ? `${faults.length} faults` : message;
  const path = faults.length === 1 && first !== undefined && !message.includes(first.path) ? `${first.path}: ` : "";
  const head = `error: ${path}${what}${adviceText(advice)} (${code})`;
  const lines = faults.length > 1 ? faults.map((fault) => `  ${fault.path}: ${fault.message}`) : [];
  return [head, ...lines].join("\n");
}

/** What the error codes advise are sentences; what this file does goes on with the one before. */
function adviceText(advice: string | undefined): string {
  if (advice === undefined) return "";
  return /^[A-Z]/.test(advice) && !advice.startsWith("FC_") ? `. ${advice}` : `; ${advice}`;
}
