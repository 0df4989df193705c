import type { AnyBulkWriteOperation } from "mongodb";
import type { Clock } from "@flowcatalyst/foundation";
import type { OutboxResult, OutboxRow, OutboxRowId } from "../../domain/outbox-row.ts";
import type {
  OutboxCounts,
  OutboxLease,
  OutboxRetryRule,
  OutboxSource,
  OutboxSourceCapabilities,
} from "../../ports/outbox-source.ts";
import { exhaustedFrom, outboxCountedTo, tablesMissing } from "../outbox-form.ts";
import { errorText, finalStates, refusedStates, waitingStates } from "../table-form.ts";
import { claimRows } from "./mongo-claims.ts";
import { controlId, numberField, type MongoTable, type RowDocument } from "./mongo-database.ts";
import { listenTo } from "./mongo-listening.ts";
import { beginning, inOrder, inStates, type RowFilter } from "./mongo-positions.ts";

/**
 * Outbox collections in MongoDB 4.4 or later. `_id` is the id; all other fields have the names of the columns. A
 * payload or headers that are documents are sent as their JSON.
 *
 * Order. MongoDB has no clock for what is inserted: `created_at` is the application's, as the SDK writes it. Order
 * within a group is that of these clocks, so it is sure for one process, and for several as far as their clocks agree.
 *
 * Nothing here asks for transactions, because a server without replica set has none (the application needs them, to
 * write its data and the row together). Claims are made one after another by a mark in the control document
 * (mongo-claims.ts). A claim that began before its lease was lost ends after it: it is not fenced.
 *
 * Failures. A claim or settlement that breaks off may have been done for some of its rows. Settling again changes
 * nothing where it was done; what a claim left in progress comes back by `recover`, as after a crash.
 *
 * Wake-ups come by a change stream, where there is a replica set.
 */
export const mongoOutboxCapabilities: OutboxSourceCapabilities = { wakeUps: true, fencedClaims: false };

export function createMongoSource(table: MongoTable, clock: Clock): OutboxSource {
  const { form, rows, asking } = table;
  return {
    capabilities: mongoOutboxCapabilities,
    verify: () => verify(table),
    lease: leaseOf(table),
    claim: (claim) => asking(() => claimRows(table, clock, claim)),
    settle: (results) => settle(table, results),
    release: (released) => release(table, released),
    recover: async (inProgressForMs) => {
      const before = new Date((await table.now()).getTime() - inProgressForMs);
      const since: RowFilter = inProgressForMs === 0 ? {} : { updated_at: { $lte: before } };
      const filter: RowFilter = { status: form.word(9), ...since };
      return asking(async () => (await rows.updateMany(filter, toPending(table))).modifiedCount);
    },
    deleteFinished: (settledForMs, limit) => deleteFinished(table, settledForMs, limit),
    counts: (rule) => counts(table, rule),
    listen: (told, signal) => listenTo(table, clock, { told, signal }),
    probe: async () => {
      await asking(() => table.control.findOne({ _id: controlId }));
    },
    close: () => table.close(),
  };
}

async function verify({ control, controlName, asking }: MongoTable): Promise<void> {
  if ((await asking(() => control.findOne({ _id: controlId }))) === null) throw tablesMissing(controlName, []);
}

/** Its end is a time of the server's: when it was renewed, and for how long. */
function leaseOf({ control, asking }: MongoTable): OutboxLease {
  const end = { $add: ["$lease_at", "$lease_ttl_ms"] };
  const isOver = { lease_at: { $ne: null }, $expr: { $lte: [end, "$$NOW"] } };
  const isOn = { lease_at: { $ne: null }, $expr: { $gt: [end, "$$NOW"] } };
  return {
    acquire: (holder, ttlMs) =>
      asking(async () => {
        const set = { $set: { holder, lease_ttl_ms: ttlMs }, $currentDate: { lease_at: true as const } };
        const after = { returnDocument: "after" } as const;
        const renewed = await control.findOneAndUpdate({ _id: controlId, holder, ...isOn }, set, after);
        if (renewed !== null) return { epoch: numberField(renewed, "epoch") };
        const free = { _id: controlId, $or: [{ holder: null }, isOver] };
        const taken = await control.findOneAndUpdate(free, { ...set, $inc: { epoch: 1 } }, after);
        return taken === null ? null : { epoch: numberField(taken, "epoch") };
      }),
    release: async (holder) => {
      const none = { holder: null, lease_at: null, lease_ttl_ms: 0 };
      await asking(() => control.updateOne({ _id: controlId, holder }, { $set: none }));
    },
  };
}

/** Nothing is locked for long there: a write that conflicts with a transaction is tried again by the server. */
async function settle(table: MongoTable, results: readonly OutboxResult[]): Promise<readonly OutboxRowId[]> {
  const alike = new Map<string, { readonly first: OutboxResult; readonly ids: string[] }>();
  for (const result of results) {
    const key = JSON.stringify({ ...result, id: "" });
    const known = alike.get(key) ?? { first: result, ids: [] };
    known.ids.push(result.id);
    alike.set(key, known);
  }
  if (alike.size === 0) return [];
  const changes = [...alike.values()].map(({ first, ids }) => changeFor(table, first, ids));
  await table.asking(() => table.rows.bulkWrite(changes, { ordered: false }));
  return [];
}

function changeFor(
  { form }: MongoTable,
  result: OutboxResult,
  ids: readonly string[],
): AnyBulkWriteOperation<RowDocument> {
  const _id = { $in: ids };
  const status = form.word(result.kind === "done" ? 1 : result.status);
  const now = { $currentDate: { updated_at: true as const } };
  if (result.kind === "done") {
    const published = form.publishedAt === null ? {} : { [form.publishedAt]: true as const };
    const $currentDate = { updated_at: true as const, ...published };
    const filter = { _id, status: { $nin: form.words(finalStates) } };
    return { updateMany: { filter, update: { $set: { status, [form.error]: null }, $currentDate } } };
  }
  const counted = result.kind === "failed" && result.countsAsRetry ? { $inc: { retry_count: 1 } } : {};
  const update = { $set: { status, [form.error]: errorText(result.error) }, ...counted, ...now };
  return { updateMany: { filter: { _id, status: form.word(9) }, update } };
}

function toPending({ form }: MongoTable) {
  return { $set: { status: form.word(0) }, $currentDate: { updated_at: true as const } };
}

async function release(table: MongoTable, released: readonly OutboxRow[]): Promise<readonly OutboxRowId[]> {
  if (released.length === 0) return [];
  const filter = { _id: { $in: released.map(({ id }): string => id) }, status: table.form.word(9) };
  await table.asking(() => table.rows.updateMany(filter, toPending(table)));
  return [];
}

/** By the index in the order of creation: what was settled long ago was created before that. */
async function deleteFinished(table: MongoTable, settledForMs: number, limit: number): Promise<number> {
  const { form, rows, asking } = table;
  const old = { $lte: new Date((await table.now()).getTime() - settledForMs) };
  const status = form.word(1);
  return asking(async () => {
    const found = rows.find({ status, created_at: old, updated_at: old }, { projection: { _id: 1 }, sort: inOrder });
    const ids = (await found.limit(limit).toArray()).map(({ _id }) => _id);
    return ids.length === 0 ? 0 : (await rows.deleteMany({ _id: { $in: ids }, status })).deletedCount;
  });
}

async function counts(table: MongoTable, { maxRetries }: OutboxRetryRule): Promise<OutboxCounts> {
  const { form, rows, asking } = table;
  const now = await table.now();
  const count = (filter: RowFilter): Promise<number> => rows.countDocuments(filter, { limit: outboxCountedTo });
  const waiting = { status: { $in: form.words(waitingStates) } };
  const from = exhaustedFrom(maxRetries);
  return asking(async () => {
    const ages: number[] = [];
    for (const status of form.words([0, 9, ...waitingStates])) {
      const [oldest] = await rows
        .find({ status, created_at: { $gte: beginning } }, { projection: { created_at: 1 }, sort: inOrder, limit: 1 })
        .toArray();
      const createdAt: unknown = oldest?.["created_at"];
      if (createdAt instanceof Date) ages.push(now.getTime() - createdAt.getTime());
    }
    return {
      pending: await count({ status: form.word(0) }),
      inProgress: await count({ status: form.word(9) }),
      waiting: await count({ ...waiting, retry_count: { $not: { $gte: from } } }),
      exhausted: await count({ ...waiting, retry_count: { $gte: from } }),
      refused: await count(inStates(form, refusedStates)),
      countedTo: outboxCountedTo,
      oldestAgeMs: ages.length === 0 ? null : Math.max(0, ...ages),
    };
  });
}
