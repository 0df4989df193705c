import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { OutboxRow } from "../../domain/outbox-row.ts";
import type { OutboxClaim, OutboxClaimAnswer } from "../../ports/outbox-source.ts";
import { chooseRows, countWithin, firstHeld, type HeldFrom, type LookedRow } from "../held-groups.ts";
import { tablesMissing } from "../outbox-form.ts";
import { waitingStates } from "../table-form.ts";
import {
  controlId,
  jsonField,
  numberField,
  textField,
  textOrNullField,
  type MongoTable,
  type RowDocument,
} from "./mongo-database.ts";
import { behind, dueBy, inOrder, lookedRow, positionOf, upTo, type RowFilter } from "./mongo-positions.ts";

/**
 * Claims. They come one after another, by a mark in the control document. A mark of an earlier epoch counts for
 * nothing: whoever set it has lost the lease, and takes nothing more (but within one round trip, as it looks at its
 * mark before it takes). One of this epoch lapses after 30 s, when the call that set it is gone.
 *
 * Groups with rows in progress are asked for before anything else. A row leaves progress at any moment, but only a
 * claim puts one there: so a group that had none before the look has none during it, nothing comes back to it, and what
 * the further questions see of it belongs together, though each of them sees the collection at a moment of its own.
 */
export async function claimRows(table: MongoTable, clock: Clock, claim: OutboxClaim): Promise<OutboxClaimAnswer> {
  const begun = await begin(table, clock, claim.epoch);
  if (begun === null) return { kind: "fenced" };
  const own = { _id: controlId, claim_number: numberField(begun, "claim_number") };
  try {
    const reason = textOrNullField(begun, "paused_reason");
    const at: unknown = begun["claim_at"];
    if (reason !== null) return { kind: "paused", reason };
    return await claimWithin(table, { claim, own, now: at instanceof Date ? at : await table.now() });
  } finally {
    await table.control.updateOne(own, { $set: { claim_at: null } });
  }
}

const claimLapsesAfterMs = 30_000;
const claimRetryMs = 5;
const claimTries = 2_000;

/** The control document; null: the epoch is over. */
async function begin({ control, controlName }: MongoTable, clock: Clock, epoch: number): Promise<RowDocument | null> {
  const lapsed = { $lte: [{ $add: ["$claim_at", claimLapsesAfterMs] }, "$$NOW"] };
  const isEarlier = { claim_epoch: { $ne: epoch } };
  const isFree = [{ claim_at: null }, isEarlier, { claim_at: { $ne: null }, $expr: lapsed }];
  for (let tried = 0; tried < claimTries; tried++) {
    const taken = await control.findOneAndUpdate(
      { _id: controlId, epoch, $or: isFree },
      { $inc: { claim_number: 1 }, $set: { claim_epoch: epoch }, $currentDate: { claim_at: true } },
      { returnDocument: "after" },
    );
    if (taken !== null) return taken;
    const found = await control.findOne({ _id: controlId });
    if (found === null) throw tablesMissing(controlName, []);
    if (numberField(found, "epoch") !== epoch) return null;
    await clock.sleep(claimRetryMs);
  }
  throw new CodedError("STORE_UNAVAILABLE", { context: { reason: "another claim does not end" } });
}

interface BegunClaim {
  readonly claim: OutboxClaim;
  /** Finds the control document while the mark in it is this claim's. */
  readonly own: { readonly _id: string; readonly claim_number: number };
  readonly now: Date;
}

async function claimWithin(table: MongoTable, { claim, own, now }: BegunClaim): Promise<OutboxClaimAnswer> {
  const { form, rows } = table;
  const isNew = claim.which === "new";
  const busy = await rows.distinct(form.group, { status: form.word(9) });
  const due = dueBy(now, claim.maxRetries);
  const waiting = { status: { $in: form.words(waitingStates) } };
  const look: RowFilter = isNew ? { $and: [{ status: form.word(0) }, behind(claim.after)] } : { $and: [waiting, due] };
  const found = rows.find(look, { projection: { created_at: 1, [form.group]: 1 }, sort: inOrder });
  const looked = (await found.limit(claim.maxScanned).toArray()).map((row) => lookedRow(form, row));
  const heldFrom = await heldGroups(table, claim, {
    looked,
    busy,
    waiting: isNew ? waiting : { ...waiting, $nor: [due] },
  });
  const choice = chooseRows(looked, heldFrom, claim.maxRows);
  if (!isNew) await makePending(table, choice.held);
  const sizes = await sizesOf(table, choice.chosen);
  const present = choice.chosen.filter(({ id }) => sizes.has(id));
  const sized = present.map(({ id }) => ({ id, bytes: sizes.get(id) ?? 0 }));
  const given = present.slice(0, countWithin(sized, claim.maxBytes, claim.payloadMaxBytes));
  const last = given.length < present.length ? (given.at(-1) ?? null) : choice.last;
  if (given.length > 0 && (await table.control.findOne({ ...own, epoch: claim.epoch })) === null) {
    return { kind: "fenced" };
  }
  const taken = await take(table, claim, given);
  return {
    kind: "claimed",
    rows: taken,
    next: isNew && last !== null ? { createdAt: last.createdAt, id: last.id } : null,
    passedOver: isNew ? (last === null ? 0 : looked.indexOf(last) + 1) - taken.length : choice.held.length,
  };
}

interface Look {
  readonly looked: readonly LookedRow[];
  readonly busy: readonly unknown[];
  /** Rows that hold those behind them. */
  readonly waiting: RowFilter;
}

async function heldGroups(
  table: MongoTable,
  claim: OutboxClaim,
  { looked, busy, waiting }: Look,
): Promise<ReadonlyMap<string, HeldFrom>> {
  const { form, rows } = table;
  const heldFrom = new Map<string, HeldFrom>();
  for (const group of busy) if (typeof group === "string") heldFrom.set(group, "all");
  const groups = [...new Set(looked.flatMap(({ group }) => (group === null || heldFrom.has(group) ? [] : [group])))];
  if (groups.length === 0) return heldFrom;
  const within: RowFilter = { [form.group]: { $in: groups } };
  const pending: RowFilter = { status: form.word(0) };
  if (claim.which === "new" && claim.after !== null) {
    const earlier = await rows.distinct(form.group, { $and: [within, pending, upTo(claim.after)] });
    for (const group of earlier) if (typeof group === "string") heldFrom.set(group, "all");
  }
  const holding: RowFilter[] = [];
  if (claim.which === "retries") holding.push(pending);
  if (claim.blockOnError) holding.push(waiting);
  for (const filter of holding) {
    const firsts = rows.aggregate<RowDocument>(
      [
        { $match: { $and: [within, filter] } },
        { $sort: inOrder },
        { $group: { _id: `$${form.group}`, created_at: { $first: "$created_at" }, first: { $first: "$_id" } } },
      ],
      { allowDiskUse: true },
    );
    for await (const first of firsts) {
      const position = positionOf({ ...first, _id: textField(first, "first") });
      const nearest = firstHeld(heldFrom.get(first._id) ?? null, position);
      if (nearest !== null) heldFrom.set(first._id, nearest);
    }
  }
  return heldFrom;
}

/** Due rows that may not go are looked at as pending ones from now on. */
async function makePending({ form, rows }: MongoTable, held: readonly LookedRow[]): Promise<void> {
  if (held.length === 0) return;
  await rows.updateMany(
    { _id: { $in: held.map(({ id }) => id) }, status: { $in: form.words(waitingStates) } },
    { $set: { status: form.word(0) } },
  );
}

/** Bytes of payloads, by id. A payload that is no text is read to know it. */
async function sizesOf({ rows }: MongoTable, chosen: readonly LookedRow[]): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  const ids = chosen.map(({ id }) => id);
  if (ids.length === 0) return sizes;
  const texts = rows.aggregate<RowDocument>([
    { $match: { _id: { $in: ids }, payload: { $type: "string" } } },
    { $project: { bytes: { $strLenBytes: "$payload" } } },
  ]);
  for await (const row of texts) sizes.set(row._id, numberField(row, "bytes"));
  const others = ids.filter((id) => !sizes.has(id));
  if (others.length === 0) return sizes;
  for await (const row of rows.find({ _id: { $in: others } }, { projection: { payload: 1 } })) {
    sizes.set(row._id, Buffer.byteLength(jsonField(row, "payload") ?? ""));
  }
  return sizes;
}

/** Marks them, and gives those that were marked: an operator may have been faster. */
async function take(
  { form, rows }: MongoTable,
  claim: OutboxClaim,
  given: readonly LookedRow[],
): Promise<readonly OutboxRow[]> {
  if (given.length === 0) return [];
  const ids = given.map(({ id }) => id);
  // An operator may have told a waiting row to go again: it goes, and overtakes nobody.
  const before = form.words(claim.which === "new" ? [0] : [0, ...waitingStates]);
  await rows.updateMany(
    { _id: { $in: ids }, status: { $in: before } },
    { $set: { status: form.word(9) }, $max: { retry_count: 0 }, $currentDate: { updated_at: true } },
  );
  const read = new Map<string, RowDocument>();
  const marked: RowFilter = { _id: { $in: ids }, status: form.word(9) };
  const small = { $lte: [{ $strLenBytes: "$payload" }, claim.payloadMaxBytes] };
  const texts = rows.aggregate<RowDocument>([
    { $match: { ...marked, payload: { $type: "string" } } },
    { $addFields: { bytes: { $strLenBytes: "$payload" }, payload: { $cond: [small, "$payload", null] } } },
  ]);
  for await (const row of texts) read.set(row._id, row);
  if (read.size < ids.length) {
    for await (const row of rows.find(marked)) {
      if (!read.has(row._id)) read.set(row._id, { ...row, ...payloadOf(row, claim.payloadMaxBytes) });
    }
  }
  return given.flatMap((looked) => {
    const row = read.get(looked.id);
    return row === undefined ? [] : [outboxRow(form.form, looked, row)];
  });
}

/** Of a row whose payload is no text: a document is sent as its JSON. */
function payloadOf(row: RowDocument, payloadMaxBytes: number): { readonly bytes: number; readonly payload: unknown } {
  const payload = jsonField(row, "payload") ?? "";
  const bytes = Buffer.byteLength(payload);
  return { bytes, payload: bytes > payloadMaxBytes ? null : payload };
}

function outboxRow(form: OutboxRow["form"], { id, createdAt, group }: LookedRow, row: RowDocument): OutboxRow {
  const common = {
    id,
    position: { createdAt, id },
    group,
    payload: textOrNullField(row, "payload"),
    payloadBytes: numberField(row, "bytes"),
    headers: jsonField(row, "headers"),
    retryCount: numberField(row, "retry_count"),
  };
  return form === "platform"
    ? { ...common, form, type: textField(row, "type"), clientId: textOrNullField(row, "client_id") }
    : {
        ...common,
        form,
        poolCode: textOrNullField(row, "pool_code"),
        target: textField(row, "target"),
        deduplicationId: textOrNullField(row, "deduplication_id"),
      };
}
