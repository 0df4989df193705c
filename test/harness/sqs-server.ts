import { join } from "node:path";
import { type BrokerServer, createBroker } from "./broker-process.ts";

/**
 * A private emulator of Amazon SQS (fauxqs): its queues in a temporary folder, loopback; AWS itself is never reached.
 *
 * Whatever a sender was told is accepted is there again after a kill and a start, what is in flight with its time. The
 * clock by which it counts visibility, delays and the five minutes of deduplication can be moved on by `passTime`, so
 * that no test waits for them; the move lasts through a restart. Long polls wait in real time.
 *
 * Any region and any credentials do. sqs-emulator.ts has what is made to behave as AWS does, and what is not.
 */
export interface SqsServer extends BrokerServer {
  passTime(ms: number): Promise<void>;
}

export interface SqsServerOptions {
  readonly outlives?: boolean;
}

const emulator = join(import.meta.dir, "sqs-emulator.ts");

export async function createSqsServer(options: SqsServerOptions = {}): Promise<SqsServer> {
  const server = await createBroker({
    title: "the emulator of SQS",
    name: "sqs",
    account: null,
    outlives: options.outlives ?? false,
    readyWithinMs: 30_000,
    pollMs: 20,
    describe: async (folder, port) => {
      const url = `http://127.0.0.1:${port}`;
      return { url, command: [process.execPath, emulator, String(port), folder.path], probe: () => sqsVersion(url) };
    },
  });
  return Object.assign(server, { passTime: (ms: number) => passSqsTime(server.url, ms) });
}

/** Moves the clock of the emulator at this URL on; over when what is due by then is visible. */
export async function passSqsTime(url: string, ms: number): Promise<void> {
  const answer = await fetch(`${url}/_time?pass=${ms}`);
  if (!answer.ok) throw new Error(`the emulator of SQS does not pass time: ${answer.status}`);
}

/** Of fauxqs; null: it does not answer. */
export async function sqsVersion(url: string): Promise<string | null> {
  try {
    const answer = await fetch(`${url}/_version`, { signal: AbortSignal.timeout(2_000) });
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}
