import { closeSync, openSync, readdirSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { ServerProcess } from "./server-process.ts";

/**
 * Ways to let a server run out of disk without touching anybody else's. Each gives the command the server is started
 * through, and what fills and frees its disk while it runs.
 */
export interface SmallDisk {
  readonly name: string;
  /** False where the operating system does not let this user do it. */
  readonly available: boolean;
  readonly through: readonly string[];
  /** Leaves room for `roomBytes`, about. */
  fill(server: ServerProcess, roomBytes: number): void;
  free(server: ServerProcess): void;
}

/** The write-ahead log alone may take 32 MiB before it is written back. */
const diskBytes = 80 * 1_048_576;
const blockBytes = 4_096;
const namespaces = [
  ["unshare", "--user", "--map-root-user", "--mount"],
  ["unshare", "--mount"],
];

/**
 * A disk of its own in memory, in a namespace of its own: nobody else sees it, and it is gone with the process. Writing
 * beyond it fails as on any full disk (ENOSPC). Linux, where users may make namespaces.
 */
export function ownDisk(): SmallDisk {
  const namespace = namespaces.find((command) => {
    const mount = [...command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    return Bun.which("unshare") !== null && Bun.spawnSync(mount, { stderr: "ignore" }).exitCode === 0;
  });
  const script = `mount -t tmpfs -o size=${diskBytes} tmpfs "$FC_DATA_DIR" && exec "$0" "$@"`;
  const filler = ({ pid, dataDir }: ServerProcess): string => `/proc/${pid}/root${dataDir}/filler`;
  return {
    name: "a disk that is full",
    available: namespace !== undefined,
    through: [...(namespace ?? []), "sh", "-c", script],
    fill: (server, roomBytes) => {
      const bytes = fillUp(filler(server));
      truncateSync(filler(server), Math.max(0, bytes - roomBytes));
    },
    free: (server) => rmSync(filler(server)),
  };
}

function fillUp(path: string): number {
  const file = openSync(path, "w");
  const block = Buffer.alloc(blockBytes, 0x5a);
  try {
    for (let bytes = 0; bytes < 2 * diskBytes; bytes += blockBytes) writeSync(file, block);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    return statSync(path).size;
  } finally {
    closeSync(file);
  }
  throw new Error(`the disk of ${path} does not fill`);
}

/** No file of the process may grow any more (RLIMIT_FSIZE): writes fail, with EFBIG. Linux, any user. */
export function cappedFiles(): SmallDisk {
  const cap = (pid: number, bytes: string): void => {
    const set = Bun.spawnSync(["prlimit", "--pid", String(pid), `--fsize=${bytes}:`]);
    if (set.exitCode !== 0) throw new Error(set.stderr.toString());
  };
  return {
    name: "a disk that takes no more",
    available: Bun.which("prlimit") !== null,
    through: [],
    fill: ({ pid, dataDir }, roomBytes) => {
      const sizes = readdirSync(dataDir).map((name) => statSync(join(dataDir, name)).size);
      cap(pid, String(Math.max(...sizes) + roomBytes));
    },
    free: ({ pid }) => cap(pid, "unlimited"),
  };
}
