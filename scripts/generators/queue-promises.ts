import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { amqpCapabilities } from "../../packages/server/src/queues/amqp/amqp-broker.ts";
import { natsCapabilities } from "../../packages/server/src/queues/nats/nats-capabilities.ts";
import { natsQueueDefaults } from "../../packages/server/src/queues/nats/nats-queue-config.ts";
import {
  postgresQueueCapabilities,
  postgresQueueDefaults,
} from "../../packages/server/src/queues/postgres/postgres-queue-config.ts";
import {
  sqliteQueueCapabilities,
  sqliteQueueDefaults,
} from "../../packages/server/src/queues/sqlite/sqlite-queue-config.ts";
import { sqsCapabilities } from "../../packages/server/src/queues/sqs/sqs-queue.ts";
import type { PoolCode } from "../../packages/server/src/domain/ids.ts";
import type { QueueCapabilities } from "../../packages/server/src/ports/queue.ts";
import { ROOT } from "../run-command.ts";
import { tableCell, type Generator } from "./generator.ts";

/**
 * What each queue promises, read from what its adapter declares, as tables between two markers of hand-written pages:
 * docs/reference/queues.md has every capability, docs/guides/choosing-a-queue.md those that decide, in words.
 */

const mebibyte = 1_048_576;
const lane = "LANE" as PoolCode;

/** As their servers are without further settings; with lanes listed in the URL, where it can list them. */
const queues: readonly { readonly name: string; readonly declares: QueueCapabilities }[] = [
  { name: "SQLite", declares: sqliteQueueCapabilities(sqliteQueueDefaults) },
  { name: "PostgreSQL", declares: postgresQueueCapabilities(postgresQueueDefaults) },
  { name: "NATS JetStream", declares: natsCapabilities(natsQueueDefaults.dedupWindowMs, mebibyte) },
  { name: "SQS FIFO", declares: sqs(true) },
  { name: "SQS standard", declares: sqs(false) },
  { name: "ActiveMQ, RabbitMQ", declares: amqpCapabilities({ lanes: [lane] }) },
];

function sqs(isFifo: boolean): QueueCapabilities {
  const byLane = new Map([[lane, ""]]);
  return sqsCapabilities(isFifo, { shared: "", byLane, dead: "", isDeadFifo: isFifo, messageLimitBytes: mebibyte });
}

interface Row {
  /** What it means, in the reference. */
  readonly means: string;
  /** What somebody who chooses would ask; absent: nobody would. */
  readonly asks?: string;
  readonly cell: (declares: QueueCapabilities) => string;
}

/** A row for every capability: one that is added has to be told of here. */
const rows: Readonly<Record<keyof QueueCapabilities, Row>> = {
  grouping: {
    means: "`strict`: of a group, what comes later waits on the queue for what comes first",
    asks: "keeps stand-alone messages of a group in order",
    cell: ({ grouping }) => (grouping === "strict" ? "strict" : "no"),
  },
  priority: {
    means: "`highPriority` goes ahead of other groups",
    asks: "`highPriority` goes ahead",
    cell: ({ priority }) => yesNo(priority),
  },
  sharedBatches: {
    means: "a batch holds the first messages of many groups before many of one",
    cell: ({ sharedBatches }) => yesNo(sharedBatches),
  },
  lanes: {
    means: "pools that are received from on their own; the others share one lane",
    asks: "a full pool holds up no other",
    cell: ({ lanes }) => ({ all: "every pool", listed: "pools listed in the URL", none: "no" })[lanes],
  },
  longPoll: {
    means: "a question waits at the broker until something comes; else the router is woken",
    cell: ({ longPoll }) => yesNo(longPoll),
  },
  deadReceiptRefused: {
    means: "an ack that comes too late is told so",
    cell: ({ deadReceiptRefused }) => yesNo(deadReceiptRefused),
  },
  redelivery: {
    means: "when the messages of a router that died come back",
    asks: "the messages of a router that died come back",
    cell: ({ redelivery }) =>
      ({
        visibility: "after the visibility",
        ackWait: "after the visibility",
        connection: "when its connection ends",
      })[redelivery],
  },
  maxDelayMs: {
    means: "the longest wait on the queue; longer ones go in steps, and without any the router waits itself",
    asks: "longest wait on the queue",
    cell: ({ maxDelayMs }) => (maxDelayMs === 0 ? "none" : duration(maxDelayMs)),
  },
  dedupWindowMs: {
    means: "how long a repeated publish is recognised",
    asks: "recognises a repeated publish for",
    cell: ({ dedupWindowMs }) => (dedupWindowMs === 0 ? "never" : duration(dedupWindowMs)),
  },
  reportsDuplicates: {
    means: "a repeat is answered `DUPLICATE`; else it is swallowed as `PUBLISHED`",
    cell: ({ reportsDuplicates, dedupWindowMs }) => (dedupWindowMs === 0 ? "none" : yesNo(reportsDuplicates)),
  },
  maxMessageBytes: {
    means: "the largest message",
    asks: "the largest message",
    cell: ({ maxMessageBytes }) => `${Math.floor(maxMessageBytes / 1_024).toLocaleString("en")} KiB`,
  },
  maxBatch: {
    means: "messages received at once",
    cell: ({ maxBatch }) => maxBatch.toLocaleString("en"),
  },
  reportsOldest: {
    means: "tells when the oldest unsettled message was published",
    asks: "tells how old the oldest message is",
    cell: ({ reportsOldest }) => yesNo(reportsOldest),
  },
  counts: {
    means: "how many are visible, in flight, delayed",
    asks: "tells how many messages wait",
    cell: ({ counts }) => ({ all: "yes", delayedAsInFlight: "delayed ones as in flight", none: "no" })[counts],
  },
  givesUpAbandoned: {
    means: "a stand-alone message received 10 times without ack or nack goes to the dead letters",
    asks: "sets aside what crashes its receivers",
    cell: ({ givesUpAbandoned }) => yesNo(givesUpAbandoned),
  },
  pagesDeadLetters: {
    means: "dead letters are listed page by page, newest first; else what one look finds",
    asks: "lists all dead letters",
    cell: ({ pagesDeadLetters }) => (pagesDeadLetters ? "page by page" : "what one look finds"),
  },
  carriesReferences: {
    means: "messages name jobs; else they carry everything, and routers need no database",
    cell: ({ carriesReferences }) => (carriesReferences ? "as `db:`" : "no"),
  },
};

const yesNo = (value: boolean): string => (value ? "yes" : "no");

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const minuteMs = 60_000;

function duration(ms: number): string {
  if (ms % dayMs === 0) return `${ms / dayMs} days`;
  if (ms % hourMs === 0) return `${ms / hourMs} h`;
  return ms % minuteMs === 0 ? `${ms / minuteMs} min` : `${ms / 1_000} s`;
}

function table(kind: "reference" | "guide"): string {
  const head = ["", ...queues.map(({ name }) => name)];
  const lines = Object.entries(rows).flatMap(([capability, { means, asks, cell }]) => {
    if (kind === "guide" && asks === undefined) return [];
    const first = kind === "guide" ? (asks ?? "") : `\`${capability}\`: ${means}`;
    return [[first, ...queues.map(({ declares }) => cell(declares))]];
  });
  const rule = head.map(() => "---");
  return [head, rule, ...lines].map((cells) => `| ${cells.map(tableCell).join(" | ")} |`).join("\n");
}

const begin = "<!-- generated: what the queues declare, by `npm run generate`; change it in their adapters -->";
const end = "<!-- end of what is generated -->";

/** The page as it is, with the table of now between its markers. Throws when it has none. */
function pageWith(path: string, kind: "reference" | "guide"): Generator {
  return {
    path,
    produce: async () => {
      const text = await readFile(join(ROOT, path), "utf8");
      const [from, to] = [text.indexOf(begin), text.indexOf(end)];
      if (from < 0 || to < from) throw new Error(`it needs the two lines\n${begin}\n${end}`);
      return `${text.slice(0, from)}${begin}\n${table(kind)}\n${text.slice(to)}`;
    },
  };
}

export const queuePromises: readonly Generator[] = [
  pageWith("docs/reference/queues.md", "reference"),
  pageWith("docs/guides/choosing-a-queue.md", "guide"),
];
