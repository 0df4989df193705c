import type { UpdateFilter } from "mongodb";
import type { Clock } from "@flowcatalyst/foundation";
import type { OutboxRowId } from "../../domain/outbox-row.ts";
import type {
  OutboxAct,
  OutboxAdmin,
  OutboxControl,
  OutboxListedRow,
  OutboxPage,
  OutboxQuery,
  OutboxSelection,
} from "../../ports/outbox-source.ts";
import { statesToTouch, statusOf } from "../outbox-form.ts";
import { errorText } from "../table-form.ts";
import {
  controlId,
  jsonField,
  numberField,
  textField,
  textOrNullField,
  type MongoTable,
  type RowDocument,
} from "./mongo-database.ts";
import { createMongoSource } from "./mongo-outbox.ts";
import { behind, inOrder, inStates, positionOf, type RowFilter } from "./mongo-positions.ts";

/** What operators do to outbox collections in MongoDB. */
export function createMongoAdmin(table: MongoTable, clock: Clock): OutboxAdmin {
  const { form, rows, control, asking } = table;
  const setPause = async (reason: string | null): Promise<void> => {
    await asking(() => control.updateOne({ _id: controlId }, { $set: { paused_reason: reason } }));
  };
  const now = { $currentDate: { updated_at: true as const } };
  return {
    source: createMongoSource(table, clock),
    ddl: () => statements(table),
    init: () => asking(() => makeCollections(table)),
    control: () => asking(() => readControl(table)),
    pause: setPause,
    resume: () => setPause(null),
    list: (query) => asking(() => list(table, query)),
    count: (which, act) => {
      const filter = chosenBy(table, which, act);
      return filter === null ? Promise.resolve(0) : asking(() => rows.countDocuments(filter));
    },
    skip: (which, reason, limit) => {
      const update = { $set: { status: form.word(2), [form.error]: errorText(reason) }, ...now };
      return change(table, { filter: chosenBy(table, which, "skip"), update, limit });
    },
    retry: (which, limit) => {
      const update = { $set: { status: form.word(0), retry_count: 0, [form.error]: null }, ...now };
      return change(table, { filter: chosenBy(table, which, "retry"), update, limit });
    },
  };
}

interface Index {
  readonly name: string;
  readonly fields: Readonly<Record<string, 1>>;
}

/** By what is looked at in order; by group, whether it is held; by what waits, so that exhausted rows cost nothing. */
function indexesOf({ form }: MongoTable): readonly Index[] {
  return [
    { name: "look", fields: { status: 1, created_at: 1, _id: 1, [form.group]: 1 } },
    { name: "group", fields: { [form.group]: 1, status: 1, created_at: 1, _id: 1 } },
    { name: "retry", fields: { status: 1, retry_count: 1, updated_at: 1 } },
  ];
}

const freshControl = {
  epoch: 0,
  holder: null,
  lease_at: null,
  lease_ttl_ms: 0,
  paused_reason: null,
  claim_number: 0,
  claim_at: null,
};

async function makeCollections(table: MongoTable): Promise<void> {
  for (const { name, fields } of indexesOf(table)) await table.rows.createIndex(fields, { name });
  await table.control.updateOne({ _id: controlId }, { $setOnInsert: freshControl }, { upsert: true });
}

/** As MongoDB's shell takes them. */
function statements(table: MongoTable): readonly string[] {
  const collection = (name: string): string => `db.getCollection(${JSON.stringify(name)})`;
  const indexes = indexesOf(table).map(
    ({ name, fields }) =>
      `${collection(table.name)}.createIndex(${JSON.stringify(fields)}, ${JSON.stringify({ name })})`,
  );
  const control = [{ _id: controlId }, { $setOnInsert: freshControl }, { upsert: true }].map((part) =>
    JSON.stringify(part),
  );
  return [...indexes, `${collection(table.controlName)}.updateOne(${control.join(", ")})`];
}

async function readControl({ control }: MongoTable): Promise<OutboxControl> {
  const found: RowDocument = (await control.findOne({ _id: controlId })) ?? { _id: controlId };
  const holder = textOrNullField(found, "holder");
  const at: unknown = found["lease_at"];
  const until = at instanceof Date ? new Date(at.getTime() + numberField(found, "lease_ttl_ms")) : null;
  return { pausedReason: textOrNullField(found, "paused_reason"), holder, leaseUntil: holder === null ? null : until };
}

async function list({ form, rows }: MongoTable, { states, group, limit, after }: OutboxQuery): Promise<OutboxPage> {
  const ofGroup: RowFilter = group === null ? {} : { [form.group]: group };
  const filter: RowFilter = { $and: [inStates(form, states), ofGroup, behind(after)] };
  const found = await rows.find(filter, { sort: inOrder, limit: limit + 1 }).toArray();
  const page = found.slice(0, limit).map((row): OutboxListedRow => ({
    id: row._id as OutboxRowId,
    form: form.form,
    position: positionOf(row),
    type: form.form === "platform" ? textField(row, "type") : "ROUTER_MESSAGE",
    group: textOrNullField(row, form.group),
    status: statusOf(String(row["status"])),
    retryCount: Math.max(0, numberField(row, "retry_count")),
    error: textOrNullField(row, form.error),
    payloadBytes: Buffer.byteLength(jsonField(row, "payload") ?? ""),
  }));
  return { rows: page, next: found.length > limit ? (page.at(-1)?.position ?? null) : null };
}

/** Null: nothing can be among them. */
function chosenBy({ form }: MongoTable, which: OutboxSelection, act: OutboxAct): RowFilter | null {
  const states = statesToTouch(which, act);
  if (states.length === 0) return null;
  const ofStates = inStates(form, states);
  switch (which.kind) {
    case "ids":
      return { ...ofStates, _id: { $in: which.ids.map((id): string => id) } };
    case "group":
      return { ...ofStates, [form.group]: which.group };
    case "states":
      return ofStates;
  }
}

interface Change {
  readonly filter: RowFilter | null;
  readonly update: UpdateFilter<RowDocument>;
  readonly limit: number;
}

function change({ rows, asking }: MongoTable, { filter, update, limit }: Change): Promise<number> {
  if (filter === null) return Promise.resolve(0);
  return asking(async () => {
    const found = await rows
      .find(filter, { projection: { _id: 1 }, sort: inOrder })
      .limit(limit)
      .toArray();
    if (found.length === 0) return 0;
    // A claim may have been faster.
    const still: RowFilter = { $and: [filter, { _id: { $in: found.map(({ _id }) => _id) } }] };
    return (await rows.updateMany(still, update)).modifiedCount;
  });
}
