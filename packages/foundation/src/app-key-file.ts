import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError, describeError } from "./coded-error.ts";
import { createSecretBox, newAppKey } from "./secret-box.ts";

/** The file in the data directory that keeps the application key where FC_APP_KEY is not set (development). */
export const APP_KEY_FILE = "app.key";

const OWNER_ONLY = 0o600;
const OWNER_ONLY_DIRECTORY = 0o700;

/**
 * The application key kept in the data directory, made there on the first start, readable by its owner only.
 *
 * The file appears whole or not at all: it is written under another name and then put into place, so two processes that
 * start at once end with the same key. Throws DATA_DIR_NOT_WRITABLE or APP_KEY_INVALID.
 */
export function loadOrCreateAppKey(dataDir: string): string {
  const path = join(dataDir, APP_KEY_FILE);
  const existing = readKey(path);
  if (existing !== undefined) return existing;
  const draft = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dataDir, { recursive: true, mode: OWNER_ONLY_DIRECTORY });
    writeFileSync(draft, `${newAppKey()}\n`, { mode: OWNER_ONLY });
    chmodSync(draft, OWNER_ONLY);
    putInPlace(draft, path);
    rmSync(draft, { force: true });
  } catch (cause) {
    const message = `The data directory ${dataDir} cannot be written: ${describeError(cause)}`;
    throw new CodedError("DATA_DIR_NOT_WRITABLE", { message, cause, context: { path } });
  }
  const made = readKey(path);
  if (made === undefined) throw new CodedError("DATA_DIR_NOT_WRITABLE", { context: { path, reason: "key vanished" } });
  return made;
}

function putInPlace(draft: string, path: string): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    // Another process was first: its key is the one. Some file systems have no links: there the later one wins.
    if (codeOf(error) !== "EEXIST") renameSync(draft, path);
  }
}

function readKey(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    // Not there, or not in a directory: making it says what is wrong.
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return undefined;
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
