import { readDocumentFile, systemClock, type Clock, type ConfigFault } from "@flowcatalyst/foundation";
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { readPoolsDocument, type PoolsFile } from "./router-config-shapes.ts";

export const poolsFileLimits = {
  /** A file of 10,000 pools is a tenth of it. */
  maxBytes: 8_388_608,
  /** A file of a server that is gone may never be read. */
  timeoutMs: 10_000,
} as const;

export type ReadPoolsFile =
  | { readonly kind: "read"; readonly file: PoolsFile }
  | { readonly kind: "faulty"; readonly faults: readonly ConfigFault[] };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the file of FC_ROUTER_POOLS_PATH. All faults together, each with the file and the place in it. Whatever stands
 * at the path, it neither waits for ever nor reads more than a file may have.
 */
export async function readPoolsFile(path: string, env: Environment, clock = systemClock()): Promise<ReadPoolsFile> {
  const { root, faults } = await readDocumentFile(path, env, () => inTime(clock, readBounded(path)));
  // What lacks in the environment would be told a second time as a fault of its place.
  const missing = new Set(faults.map(({ key }) => key));
  const read = root === undefined ? null : readPoolsDocument(root);
  const shapeFaults = read?.kind === "faulty" ? read.faults : [];
  const all = [
    ...faults,
    ...shapeFaults
      .filter((fault) => !missing.has(fault.path))
      .map((fault): ConfigFault => ({ key: fault.path, source: path, reason: fault.message })),
  ];
  if (read?.kind === "shaped" && all.length === 0) return { kind: "read", file: read.value };
  return { kind: "faulty", faults: all };
}

/** Changes whenever the file does; null: it is not there. */
export async function fileMark(path: string, clock: Clock): Promise<string | null> {
  try {
    const { mtimeMs, size, ino } = await inTime(clock, stat(path));
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return null;
  }
}

async function readBounded(path: string): Promise<string> {
  // Opened without waiting: a pipe would have it wait until somebody writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { maxBytes } = poolsFileLimits;
    const facts = await file.stat();
    if (!facts.isFile()) throw new Error("is no regular file");
    if (facts.size > maxBytes) throw new Error(`has more than ${maxBytes} bytes`);
    // One more than it may have, because it may grow meanwhile, and some files do not know their size.
    const bytes = Buffer.alloc(maxBytes + 1);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
      if (bytesRead === 0) return bytes.toString("utf8", 0, filled);
      filled += bytesRead;
    }
    throw new Error(`has more than ${maxBytes} bytes`);
  } finally {
    await file.close();
  }
}

async function inTime<T>(clock: Clock, doing: Promise<T>): Promise<T> {
  const { timeoutMs } = poolsFileLimits;
  const late = Promise.withResolvers<never>();
  const cancel = clock.setTimer(timeoutMs, () => late.reject(new Error(`cannot be read within ${timeoutMs} ms`)));
  try {
    return await Promise.race([doing, late.promise]);
  } finally {
    cancel();
  }
}
