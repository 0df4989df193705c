/**
 * The load generator for a queue: its own process, which publishes stand-alone messages to the broker itself, through
 * the adapter, past the router. Takes one JSON argument (`QueueGeneratorPlan`), prints one JSON line
 * (`QueueGeneratorResult`).
 *
 * Every message carries its group and its place in it. A call holds at most one message of a group and the next message
 * of a group goes out when the one before was taken, so that a refusal that is repeated turns nothing round. Where the
 * queue declares no groups, messages go to a path whose ledger counts what was overtaken instead of calling it a fault.
 */
import type { StandaloneMessage } from "../../packages/server/src/domain/message.ts";
import { numberedMessage, openPublisher, publishOnce } from "../harness/standalone-messages.ts";
import type { QueueKind } from "./bench-broker.ts";

export interface QueueGeneratorPlan {
  readonly kind: QueueKind;
  readonly queueUrl: string;
  readonly poolCode: string;
  /** The receiver, and the name of the ledger there. */
  readonly receiverUrl: string;
  readonly name: string;
  readonly groups: number;
  readonly dataBytes: number;
  /** Calls of the adapter at once; groups are divided among them. */
  readonly connections: number;
  /** As fast as messages are taken, until `seconds` have passed or there are `events`. */
  readonly seconds: number;
  readonly events: number | null;
}

export interface QueueGeneratorResult {
  readonly accepted: number;
  readonly seconds: number;
  readonly refused: number;
  /** As the adapter declares it. */
  readonly grouping: "strict" | "none";
  /** The path at the receiver. */
  readonly path: string;
  readonly cpuSeconds: number;
  readonly peakMemoryMb: number;
}

const refusedPauseMs = 20;
const giveUpAfterMs = 60_000;
const microsecondsPerSecond = 1_000_000;
const kilobytesPerMegabyte = 1_024;

async function generate(plan: QueueGeneratorPlan): Promise<QueueGeneratorResult> {
  const { queue, close } = await openPublisher(plan.kind, plan.queueUrl);
  const { grouping } = queue.capabilities;
  const path = `${grouping === "strict" ? "ok" : "counted"}/${plan.name}`;
  const messageOf = messageMaker(plan, path);
  const perConnection = plan.events === null ? Infinity : Math.ceil(plan.events / plan.connections);
  let accepted = 0;
  let refused = 0;
  const startedAt = performance.now();
  const until = startedAt + plan.seconds * 1_000;
  const connection = async (index: number): Promise<void> => {
    const own: number[] = [];
    for (let group = index; group < plan.groups; group += plan.connections) own.push(group);
    for (let sent = 0; own.length > 0 && sent < perConnection && performance.now() < until;) {
      let left: readonly StandaloneMessage[] = own.slice(0, perConnection - sent).map(messageOf);
      sent += left.length;
      const giveUpAt = performance.now() + giveUpAfterMs;
      while (left.length > 0) {
        const { again, reason } = await publishOnce(queue, left);
        accepted += left.length - again.length;
        refused += again.length;
        left = again;
        if (again.length === 0) continue;
        if (performance.now() > giveUpAt) throw new Error(`the queue takes nothing: ${reason}`);
        await Bun.sleep(refusedPauseMs);
      }
    }
  };
  await Promise.all(Array.from({ length: plan.connections }, (_, index) => connection(index)));
  const seconds = (performance.now() - startedAt) / 1_000;
  await close();
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const cpuSeconds = (userCPUTime + systemCPUTime) / microsecondsPerSecond;
  return { accepted, seconds, refused, grouping, path, cpuSeconds, peakMemoryMb: maxRSS / kilobytesPerMegabyte };
}

function messageMaker(plan: QueueGeneratorPlan, path: string): (group: number) => StandaloneMessage {
  const places = new Int32Array(plan.groups);
  const pad = "x".repeat(Math.max(0, plan.dataBytes - 60));
  const target = `${plan.receiverUrl}/${path}`;
  return (group) => {
    const place = (places[group] ?? 0) + 1;
    places[group] = place;
    return numberedMessage({ name: plan.name, poolCode: plan.poolCode, target, group, place, pad });
  };
}

console.log(JSON.stringify(await generate(JSON.parse(process.argv[2] ?? "{}") as QueueGeneratorPlan)));
