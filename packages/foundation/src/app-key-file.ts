import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError, describeError } from "./coded-error.ts";
import { createSecretBox, newAppKey } from "./secret-box.ts";

/** The file in the data directory that keeps the application key where FC_APP_KEY is not set (development). */
export const APP_KEY_FILE = "app.key";

const OWNER_ONLY = 0o600;

/**
 * The application key kept in the data directory, made there on the first start, readable by its owner only.
 *
 * The file appears whole or not at all: it is written under another name and linked into place, so two processes that
 * start at once end with the same key. Throws DATA_DIR_NOT_WRITABLE or APP_KEY_INVALID.
 */
export function loadOrCreateAppKey(dataDir: string): string {
  const path = join(dataDir, APP_KEY_FILE);
  const existing = readKey(path);
  if (existing !== undefined) return existing;
  const draft = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(draft, `${newAppKey()}\n`, { mode: OWNER_ONLY });
    chmodSync(draft, OWNER_ONLY);
    linkUnlessThere(draft, path);
  } catch (cause) {
    const message = `The data directory ${dataDir} cannot be written: ${describeError(cause)}`;
    throw new CodedError("DATA_DIR_NOT_WRITABLE", { message, cause, context: { path } });
  } finally {
    rmSync(draft, { force: true });
  }
  const made = readKey(path);
  if (made === undefined) throw new CodedError("DATA_DIR_NOT_WRITABLE", { context: { path, reason: "key vanished" } });
  return made;
}

function linkUnlessThere(draft: string, path: string): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

function readKey(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    const message = `The application key ${path} cannot be read: ${describeError(cause)}`;
    throw new CodedError("APP_KEY_INVALID", { message, cause });
  }
  try {
    createSecretBox(text);
  } catch (cause) {
    const message = `The application key in ${path} is not valid; restore the file (secrets sealed with it need it).`;
    throw new CodedError("APP_KEY_INVALID", { message, cause });
  }
  return text;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
