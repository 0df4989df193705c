import { describeError, readDocumentFile, type ConfigFault } from "@flowcatalyst/foundation";
import { stat } from "node:fs/promises";
import { readPoolsDocument, type PoolsFile } from "./router-config-shapes.ts";

/** A file of 10,000 pools is a tenth of it. */
export const poolsFileMaxBytes = 8_388_608;

export type ReadPoolsFile =
  | { readonly kind: "read"; readonly file: PoolsFile }
  | { readonly kind: "faulty"; readonly faults: readonly ConfigFault[] };

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the file of FC_ROUTER_POOLS_PATH. All faults together, each with the file and the place in it. */
export async function readPoolsFile(path: string, env: Environment): Promise<ReadPoolsFile> {
  const tooLarge = await sizeFault(path);
  if (tooLarge !== null) return { kind: "faulty", faults: [{ key: "", source: path, reason: tooLarge }] };
  const { root, faults } = await readDocumentFile(path, env);
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
export async function fileMark(path: string): Promise<string | null> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return null;
  }
}

async function sizeFault(path: string): Promise<string | null> {
  try {
    const { size } = await stat(path);
    return size > poolsFileMaxBytes ? `has more than ${poolsFileMaxBytes} bytes` : null;
  } catch (error) {
    return describeError(error);
  }
}
