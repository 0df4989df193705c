import { InvalidArgumentError } from "commander";
import { usageError, type Environment } from "./context.ts";

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isInteger(value) || value < 0) {
    throw new InvalidArgumentError("It must be a whole number, 0 or above.");
  }
  return value;
}

export function webAddress(text: string): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new InvalidArgumentError("It must be an http or https URL.");
  }
  return text;
}

/** `name: value` lines, each added to those before. */
export function headerLine(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const colon = text.indexOf(":");
  if (colon < 1) throw new InvalidArgumentError("It must look like 'name: value'.");
  return { ...before, [text.slice(0, colon).trim()]: text.slice(colon + 1).trim() };
}

/** The text itself, `@FILE`, or `-` for standard input. */
export async function readText(given: string, environment: Environment): Promise<string> {
  if (given === "-") return environment.readInput();
  if (!given.startsWith("@")) return given;
  const path = given.slice(1);
  try {
    return await Bun.file(path).text();
  } catch (cause) {
    throw usageError(`cannot read ${path}: ${fileFault(cause)}`);
  }
}

/** JSON in any of the forms of `readText`. */
export async function readJson(given: string, environment: Environment): Promise<unknown> {
  const text = await readText(given, environment);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^JSON Parse error: /, "") : String(cause);
    throw usageError(`the data is not valid JSON: ${reason}`);
  }
}

function fileFault(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return "not permitted";
  if (code === "EISDIR") return "it is a directory";
  return cause instanceof Error ? cause.message : String(cause);
}
