import { startTestReceiver, type TestReceiver } from "./test-receiver.ts";
import {
  removeDataDir,
  runServer,
  startServer,
  temporaryDataDir,
  type EndedProcess,
  type ServerOptions,
  type ServerProcess,
} from "./server-process.ts";

/**
 * What a test starts and makes, so that nothing of it outlives the test, whatever becomes of that: processes are ended
 * by their handle, folders removed, receivers stopped.
 */
export interface Sandbox {
  dataDir(): string;
  start(options?: ServerOptions): Promise<ServerProcess>;
  /** Runs one that is expected to end by itself. */
  run(options?: ServerOptions): Promise<EndedProcess>;
  receiver(): TestReceiver;
  /** Done at the end, last come first served, before folders are removed. */
  defer(undo: () => unknown): void;
  end(): Promise<void>;
}

export function createSandbox(): Sandbox {
  const folders: string[] = [];
  const undoes: (() => unknown)[] = [];
  const dataDir = (): string => {
    const path = temporaryDataDir();
    folders.push(path);
    return path;
  };
  const contained = (options: ServerOptions): ServerOptions => ({
    ...options,
    dataDir: options.dataDir ?? dataDir(),
    onSpawn: (child) => undoes.push(() => endProcess(child)),
  });
  return {
    dataDir,
    start: (options = {}) => startServer(contained(options)),
    run: (options = {}) => runServer(contained(options)),
    receiver: () => {
      const receiver = startTestReceiver();
      undoes.push(() => receiver.stop());
      return receiver;
    },
    defer: (undo) => undoes.push(undo),
    end: async () => {
      for (const undo of undoes.splice(0).toReversed()) await undo();
      for (const path of folders.splice(0)) removeDataDir(path);
    },
  };
}

async function endProcess(child: Bun.Subprocess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await child.exited;
}
