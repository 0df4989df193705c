import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { rowState, type PlacedRow } from "./queue-rows.ts";

/**
 * Who stands before whom in a group, asked so that the answer still holds when the transaction commits.
 *
 * Two things may race: somebody who puts a row to rest behind an earlier one (a publish, a nack, a release), and
 * somebody who removes that earlier one and looks for the next to let go. The first locks the earlier row FOR KEY
 * SHARE, which stands against deleting only; the second deletes in one statement and looks in a later one. So either
 * the lock comes first: then the deletion waits for the commit, and its look finds the BLOCKED row. Or the deletion
 * comes first: then the lock waits for that commit and finds the row gone, and the question is asked again. A row that
 * is found to stand first needs no lock: places rise in commit order (publishers take turns), so nothing can come
 * before it later.
 *
 * Two removals in one group may miss each other the same way (each sees the other's row as the head), so whoever finds
 * a head that is not BLOCKED locks it too. That may deadlock, where two consumers hold rows of one group after an
 * expiry; the loser's transaction is done again.
 */
export interface PlaceQuestion {
  /** Names the question in the answer. */
  readonly key: number;
  readonly group_key: string;
  /** Rows with a place below this and above `after`; nothing at or below `after` is unsettled. */
  readonly before: number;
  readonly after: number;
}

const earlierRows = statement<{ key: number; earlier: number }, [questions: string]>(`
  SELECT q.key, e.seq AS earlier
  FROM json_to_recordset($1::json) AS q (key bigint, group_key text, before bigint, after bigint)
  CROSS JOIN LATERAL (
    SELECT m.seq FROM queue_messages m
    WHERE m.group_key = q.group_key AND m.seq > q.after AND m.seq < q.before
    ORDER BY m.seq LIMIT 1
  ) AS e`);

const holdRows = statement<{ seq: number }, [seqs: readonly number[]]>(`
  SELECT m.seq FROM unnest($1::bigint[]) AS r (seq)
  JOIN queue_messages m ON ${keyIs("m.seq", "r.seq")} FOR KEY SHARE OF m`);

/** Of each group that has rows behind a removed one: its first row. */
const headsOfGroups = statement<{ seq: number; group_key: string; state: number }, [gone: string]>(`
  SELECT head.seq, g.group_key, head.state
  FROM json_to_recordset($1::json) AS g (group_key text, seq bigint, floor bigint)
  CROSS JOIN LATERAL (
    SELECT 1 FROM queue_messages m WHERE m.group_key = g.group_key AND m.seq > g.seq ORDER BY m.seq LIMIT 1
  ) AS behind
  CROSS JOIN LATERAL (
    SELECT m.seq, m.state FROM queue_messages m
    WHERE m.group_key = g.group_key AND m.seq >= g.floor ORDER BY m.seq LIMIT 1
  ) AS head`);

/** A row of a group that holds a high-priority message goes ahead of other groups, or that one would wait behind it. */
const restingRank = `
  CASE WHEN m.high OR (m.group_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM queue_messages urgent WHERE urgent.group_key = m.group_key AND urgent.high
  )) THEN 0 ELSE 1 END`;

const makeReady = statement<never, [seqs: readonly number[]]>(`
  UPDATE queue_messages m SET state = ${rowState.ready}, rank = ${restingRank}
  FROM unnest($1::bigint[]) AS r (seq)
  WHERE ${keyIs("m.seq", "r.seq")} AND m.state = ${rowState.blocked}`);

const restRows = statement<never, [rows: string]>(`
  UPDATE queue_messages m SET
    state = r.state, rank = ${restingRank}, due_at_ms = NULL, consumer_id = NULL, claim = NULL,
    receive_count = CASE WHEN m.state = ${rowState.fresh} THEN 1 ELSE m.receive_count END,
    abandoned_count = m.abandoned_count + r.abandoned
  FROM json_to_recordset($1::json) AS r (seq bigint, state smallint, abandoned integer)
  WHERE ${keyIs("m.seq", "r.seq")}`);

/** Keys of the questions that have an earlier row, which then stays until this transaction has committed. */
export async function findHeld(
  session: PostgresSession,
  questions: readonly PlaceQuestion[],
): Promise<ReadonlyMap<number, number>> {
  const held = new Map<number, number>();
  for (let open = questions; open.length > 0;) {
    const found = await session.query(earlierRows, [toJsonRows(open)]);
    if (found.length === 0) break;
    const alive = await holdAlive(
      session,
      found.map(({ earlier }) => earlier),
    );
    const unsure = new Set<number>();
    for (const { key, earlier } of found) {
      if (alive.has(earlier)) held.set(key, earlier);
      else unsure.add(key);
    }
    open = open.filter(({ key }) => unsure.has(key));
  }
  return held;
}

async function holdAlive(session: PostgresSession, seqs: readonly number[]): Promise<ReadonlySet<number>> {
  // In order of place, as everybody locks rows of messages.
  const inOrder = [...new Set(seqs)].toSorted((one, other) => one - other);
  return new Set((await session.query(holdRows, [inOrder])).map(({ seq }) => seq));
}

/** After rows were removed in an earlier statement: lets the next of their groups go. Returns how many went. */
export async function promote(session: PostgresSession, gone: readonly PlacedRow[]): Promise<number> {
  const lowest = new Map<string, PlacedRow>();
  for (const row of gone) {
    if (row.group_key === null) continue;
    const known = lowest.get(row.group_key);
    if (known === undefined || row.seq < known.seq) lowest.set(row.group_key, row);
  }
  let promoted = 0;
  for (let open = [...lowest.values()]; open.length > 0;) {
    const heads = await session.query(headsOfGroups, [toJsonRows(open)]);
    const waiting = heads.filter(({ state }) => state === rowState.blocked).map(({ seq }) => seq);
    const others = heads.filter(({ state }) => state !== rowState.blocked);
    if (waiting.length > 0) promoted += await session.run(makeReady, [waiting.toSorted((a, b) => a - b)]);
    if (others.length === 0) break;
    const alive = await holdAlive(
      session,
      others.map(({ seq }) => seq),
    );
    const unsure = new Set(others.filter(({ seq }) => !alive.has(seq)).map((head) => head.group_key));
    open = open.filter((row) => row.group_key !== null && unsure.has(row.group_key));
  }
  return promoted;
}

export interface RestingRow extends PlacedRow {
  /** 1: its receiver vanished. */
  readonly abandoned: 0 | 1;
}

/** Puts rows that this transaction has locked back: READY, or BLOCKED if an earlier one of their group is there. */
export async function rest(session: PostgresSession, rows: readonly RestingRow[]): Promise<void> {
  if (rows.length === 0) return;
  const questions = rows.flatMap(({ seq, group_key, floor }) =>
    group_key === null ? [] : [{ key: seq, group_key, before: seq, after: floor - 1 }],
  );
  const held = await findHeld(session, questions);
  const placed = rows.map(({ seq, abandoned }) => ({
    seq,
    abandoned,
    state: held.has(seq) ? rowState.blocked : rowState.ready,
  }));
  await session.run(restRows, [toJsonRows(placed)]);
}
