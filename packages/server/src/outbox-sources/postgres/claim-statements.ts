import { outboxLimits } from "../../domain/outbox-row.ts";
import { statement, type Statement } from "../../postgres/statement.ts";
import type { SqlForm } from "../outbox-form.ts";
import type { PostgresNames } from "./postgres-ddl.ts";

/**
 * Claims, each as one statement: one round trip, one snapshot, one commit.
 *
 * The control row is locked first, so claims come one after another and none comes after the epoch it was made for. A
 * claim sees the states of its statement's start. What changes meanwhile can only leave "in progress" (other claims
 * wait, or are fenced), so what it sees is never more permissive than what is; and rows that an operator changed are
 * looked at again when they are locked. Rows that an application has locked are skipped (SKIP LOCKED), with those
 * behind them in their group.
 *
 * Steps: `looked` is the window; `probed` asks the index of groups, once per group, not per row; `judged` says which
 * rows may go; `taken` cuts at so many rows and bytes; `kept` are those that could be locked.
 */
export interface ClaimRow {
  readonly ours: boolean;
  readonly paused_reason: string | null;
  readonly next_at: string | null;
  readonly next_id: string | null;
  readonly passed_over: number;
  /** Null: the claim gives no row, and what follows is null as well. */
  readonly id: string | null;
  readonly created_at: string;
  readonly message_group: string | null;
  readonly payload: string | null;
  readonly payload_bytes: number;
  readonly headers: string | null;
  readonly retry_count: number;
  readonly type?: string;
  readonly client_id?: string | null;
  readonly pool_code?: string | null;
  readonly target?: string;
  readonly deduplication_id?: string | null;
}

/** What both statements take, in this order; then comes what only one of them does. */
type CommonValues = readonly [
  epoch: number,
  maxScanned: number,
  maxRows: number,
  maxBytes: number,
  payloadMaxBytes: number,
  blockOnError: boolean,
];
export type ClaimNew = Statement<ClaimRow, readonly [...CommonValues, afterAt: string, afterId: string]>;
export type ClaimRetries = Statement<ClaimRow, readonly [...CommonValues, maxRetries: number]>;

export const beforeAll = { createdAt: "-infinity", id: "" } as const;

/** A time as text with all its digits and its offset, whatever the session's settings. */
export const exactTime = (column: string): string => `to_json(${column}) #>> '{}'`;

/** Rows of the group at hand in one state, from its earliest: a look-up in the index of groups. */
function ofGroup({ group }: SqlForm, table: string, statusAndMore: string): string {
  return `FROM ${table} o WHERE o.${group} = r.grp AND o.status = ${statusAndMore}`;
}

function literals(list: string): readonly string[] {
  return list.split(", ");
}

/** The control row. Everything else hangs on `open`, so nothing is read before the lock is there. */
function controlOf(names: PostgresNames): string {
  return `control AS MATERIALIZED (
    SELECT holder IS NOT NULL AND epoch = $1::bigint AS ours, paused_reason,
      holder IS NOT NULL AND epoch = $1::bigint AND paused_reason IS NULL AS open
    FROM ${names.control} WHERE only_row = 1 FOR UPDATE
  )`;
}

const windowRow = (form: SqlForm): string =>
  `w.id, w.created_at, w.${form.group} AS grp, octet_length(w.payload) AS bytes`;

const ranked = `ranked AS (
    SELECT *, row_number() OVER (PARTITION BY grp ORDER BY created_at, id) AS nth,
      row_number() OVER (ORDER BY created_at, id) AS place
    FROM looked
  )`;

const cut = `ranged AS (
    SELECT id, grp, place, row_number() OVER by_place AS n,
      sum(CASE WHEN bytes <= $5::bigint THEN bytes ELSE 0 END) OVER by_place AS total
    FROM judged WHERE free WINDOW by_place AS (ORDER BY place)
  ), taken AS MATERIALIZED (
    SELECT id, grp, place FROM ranged WHERE n <= $3::bigint AND (n = 1 OR total <= $4::bigint)
  )`;

/** Of a group, nothing behind a row that somebody else has locked. */
function keptOf(table: string, states: string): string {
  return `locked AS MATERIALIZED (
    SELECT k.*, l.id IS NOT NULL AS got FROM taken k LEFT JOIN LATERAL (
      SELECT o.id FROM ${table} o WHERE o.id = k.id AND o.status IN (${states}) FOR UPDATE SKIP LOCKED
    ) l ON true
  ), kept AS MATERIALIZED (
    SELECT id, place FROM (
      SELECT id, place,
        CASE WHEN grp IS NULL THEN got ELSE bool_and(got) OVER (PARTITION BY grp ORDER BY place) END AS ok
      FROM locked
    ) g WHERE ok
  )`;
}

function givenOf(form: SqlForm, table: string): string {
  const own = form.own.map((column) => `t.${column}`).join(", ");
  return `given AS (
    UPDATE ${table} t SET status = ${form.inProgress}, retry_count = greatest(t.retry_count, 0),
      updated_at = clock_timestamp()
    FROM kept WHERE t.id = kept.id
    RETURNING kept.place, t.id, ${exactTime("t.created_at")} AS created_at, t.${form.group} AS message_group,
      CASE WHEN octet_length(t.payload) <= $5::bigint THEN t.payload END AS payload,
      octet_length(t.payload) AS payload_bytes, t.headers::text AS headers, t.retry_count, ${own}
  )`;
}

/** Where the look ended: at the last row given if more could have gone, else at the end of the window. */
const ended = `ended AS (
    SELECT CASE WHEN (SELECT count(*) FROM ranged) > (SELECT count(*) FROM taken)
      THEN (SELECT max(place) FROM taken) ELSE (SELECT max(place) FROM judged) END AS place
  )`;

const answer = (next: string): string => `
  SELECT c.ours, c.paused_reason, ${next},
    greatest(coalesce(e.place, 0) - (SELECT count(*) FROM kept), 0) AS passed_over, g.*
  FROM control c CROSS JOIN ended e LEFT JOIN judged j ON j.place = e.place LEFT JOIN given g ON true
  ORDER BY g.place`;

export function claimNew(form: SqlForm, names: PostgresNames): ClaimNew {
  const table = names.quoted;
  const behind = "(o.created_at, o.id) <= ($7::text::timestamptz, $8::text)";
  const firstWaiting = literals(form.waiting)
    .map(
      (status) => `(SELECT o.created_at, o.id ${ofGroup(form, table, `${status} AND r.nth = 1 AND $6::boolean`)}
          ORDER BY o.created_at, o.id LIMIT 1)`,
    )
    .join("\n        UNION ALL ");
  return statement(`
  WITH ${controlOf(names)}, looked AS MATERIALIZED (
    SELECT ${windowRow(form)} FROM ${table} w
    WHERE w.status = ${form.pending} AND (w.created_at, w.id) > ($7::text::timestamptz, $8::text)
      AND (SELECT open FROM control)
    ORDER BY w.created_at, w.id LIMIT $2::bigint
  ), ${ranked}, probed AS MATERIALIZED (
    SELECT r.*, held.created_at AS held_at, held.id AS held_id,
      CASE WHEN r.nth = 1 AND r.grp IS NOT NULL THEN
        EXISTS (SELECT 1 ${ofGroup(form, table, form.inProgress)})
        OR EXISTS (SELECT 1 ${ofGroup(form, table, `${form.pending} AND ${behind}`)})
      END AS closed
    FROM ranked r LEFT JOIN LATERAL (
      SELECT created_at, id FROM (
        ${firstWaiting}
      ) u ORDER BY created_at, id LIMIT 1
    ) held ON true
  ), judged AS MATERIALIZED (
    SELECT *, grp IS NULL OR (
      NOT coalesce(bool_or(closed) OVER of_group, false)
      AND coalesce((created_at, id) < (first_value(held_at) OVER of_group, first_value(held_id) OVER of_group), true)
    ) AS free
    FROM probed WINDOW of_group AS (PARTITION BY grp ORDER BY created_at, id)
  ), ${cut}, ${keptOf(table, form.pending)}, ${givenOf(form, table)}, ${ended}
  ${answer(`${exactTime("j.created_at")} AS next_at, j.id AS next_id`)}`);
}

/** Milliseconds a row with so many retries is left alone, as `outboxRetryDelayMs` has it. */
const doubled = `${outboxLimits.firstRetryDelayMs} * power(2, least(c.n - 1, 16))`;
const delayMs = `CASE WHEN c.n = 0 THEN 0 ELSE least(${doubled}, ${outboxLimits.maxRetryDelayMs}) END`;

/** An application may have written a number of retries below zero: it counts as none. */
export function claimRetries(form: SqlForm, names: PostgresNames): ClaimRetries {
  const table = names.quoted;
  const waits = `IN (${form.waiting})`;
  const isEarlier = " AND (o.created_at, o.id) < (r.created_at, r.id)";
  const before = `${isEarlier} AND $6::boolean`;
  const previous = literals(form.waiting)
    .map(
      (status) => `(SELECT o.created_at, o.id ${ofGroup(form, table, status + before)}
          ORDER BY o.created_at DESC, o.id DESC LIMIT 1)`,
    )
    .join("\n        UNION ALL ");
  return statement(`
  WITH ${controlOf(names)}, looked AS MATERIALIZED (
    SELECT * FROM (
      (SELECT ${windowRow(form)} FROM ${table} w
      WHERE w.status ${waits} AND w.retry_count < 0 AND $7::bigint > 0 AND (SELECT open FROM control)
      LIMIT $2::bigint)
      UNION ALL
      (SELECT due.* FROM generate_series(0, $7::bigint - 1) AS c (n) CROSS JOIN LATERAL (
        SELECT ${windowRow(form)} FROM ${table} w
        WHERE w.status ${waits} AND w.retry_count = c.n
          AND w.updated_at <= now() - ${delayMs} * interval '1 millisecond'
        ORDER BY w.updated_at LIMIT $2::bigint
      ) due
      WHERE (SELECT open FROM control))
    ) u LIMIT $2::bigint
  ), ${ranked}, probed AS MATERIALIZED (
    SELECT r.*, earlier.id AS earlier_id,
      lag(r.id) OVER (PARTITION BY r.grp ORDER BY r.created_at, r.id) AS looked_id,
      CASE WHEN r.nth = 1 THEN EXISTS (SELECT 1 ${ofGroup(form, table, form.inProgress)}) END AS closed,
      EXISTS (SELECT 1 ${ofGroup(form, table, `${form.pending}${isEarlier}`)}) AS behind
    FROM ranked r LEFT JOIN LATERAL (
      SELECT id FROM (
        ${previous}
      ) u ORDER BY created_at DESC, id DESC LIMIT 1
    ) earlier ON true
  ), judged AS MATERIALIZED (
    SELECT *, grp IS NULL OR NOT coalesce(bool_or(
      closed OR behind OR ($6::boolean AND earlier_id IS DISTINCT FROM looked_id)
    ) OVER (PARTITION BY grp ORDER BY created_at, id), false) AS free
    FROM probed
  ), ${cut}, ${keptOf(table, form.waiting)}, ${givenOf(form, table)}, let_go AS (
    UPDATE ${table} t SET status = ${form.pending}, updated_at = clock_timestamp()
    FROM judged j CROSS JOIN LATERAL (
      SELECT o.id FROM ${table} o WHERE o.id = j.id AND o.status ${waits} FOR UPDATE SKIP LOCKED
    ) l
    WHERE NOT j.free AND t.id = l.id
  ), ${ended}
  ${answer("NULL::text AS next_at, NULL::text AS next_id")}`);
}
