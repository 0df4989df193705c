import { lowestTsidAt } from "@flowcatalyst/foundation";
import { idPrefixes } from "../../domain/ids.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc, statement } from "../../postgres/statement.ts";
import { storeLocks } from "./store-locks.ts";

/**
 * History by month. Events, final jobs, tasks and attempts are only ever added to and read, and go when they are old:
 * not row by row, which costs as much again as writing them and leaves the tables full of holes, but by whole
 * partitions.
 *
 * Which partition. Each table is partitioned by range of the id, its own or that of its job. An id begins with the time
 * it was made, in 42 bits of milliseconds, and ids sort as text, so a month is the range between the lowest id of its
 * first millisecond (UTC) and that of the next month's. The key being the id itself, a primary key by id is possible,
 * and whoever looks something up by id visits one partition, without having to know a time.
 *
 * What an id's time is not. It comes from the clock of the process that made it, which may be wrong, and it is not the
 * time of the event. So it decides where a row lies and when it is old, and nothing else; order comes from positions.
 *
 * Ahead. Partitions are made for the current month and three more. A row that none of them takes (a clock that is
 * months off; nobody made partitions for that long) goes to the DEFAULT partition of its table, where it is found like
 * any other. Retention takes it from there row by row.
 *
 * Making one. A table is made beside the others, rows of its month that are already in DEFAULT move into it, and it is
 * attached, all in one transaction, one month of one table at a time, under a lock of the database, so that processes
 * that do this at once find each other's work done. Writers of that table wait meanwhile: one that had already chosen
 * DEFAULT for its row would be refused once the row belongs elsewhere. Readers wait as well, as each of them visits
 * DEFAULT. It takes some 10 ms. While somebody reads DEFAULT for long (a backup), its lock is not to be had; so that
 * not everybody queues up behind the request, it is given up soon, reported as STORE_UNAVAILABLE, and made another
 * time: there are three months for it.
 */
export interface HistoryTable {
  readonly table: string;
  /** The column that says which partition, and what ids in it begin with. */
  readonly key: string;
  readonly idPrefix: string;
}

export const historyTables: readonly HistoryTable[] = [
  { table: "events", key: "id", idPrefix: idPrefixes.event },
  { table: "jobs", key: "id", idPrefix: idPrefixes.job },
  { table: "job_tasks", key: "job_id", idPrefix: idPrefixes.job },
  { table: "attempts", key: "job_id", idPrefix: idPrefixes.job },
];

export const partitionLimits = {
  monthsAhead: 3,
  lockTimeoutMs: 500,
} as const;

/** One month of one table: `lowerId` and `fromMs` belong to it, `upperId` and `toMs` do not. */
export interface HistoryPartition {
  readonly table: string;
  readonly name: string;
  readonly lowerId: string;
  readonly upperId: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** The DEFAULT partition of a table. */
export function defaultPartitionName(table: string): string {
  return `${table}_default`;
}

/** The lowest id that can have been made at that time: everything made before sorts below it. */
export function lowestIdAt(idPrefix: string, timeMs: number): string {
  return idPrefix + lowestTsidAt(timeMs);
}

/** The partition that ids made at that time belong to, whether it is there or not. */
export function partitionAt(history: HistoryTable, timeMs: number): HistoryPartition {
  const at = new Date(timeMs);
  const year = at.getUTCFullYear();
  const month = at.getUTCMonth();
  const fromMs = Date.UTC(year, month);
  const toMs = Date.UTC(year, month + 1);
  return {
    table: history.table,
    name: `${history.table}_${year}_${String(month + 1).padStart(2, "0")}`,
    lowerId: lowestIdAt(history.idPrefix, fromMs),
    upperId: lowestIdAt(history.idPrefix, toMs),
    fromMs,
    toMs,
  };
}

/** All that are there, oldest first within each table. DEFAULT partitions are not among them. */
export async function listPartitions(session: PostgresSession): Promise<readonly HistoryPartition[]> {
  const rows = await session.query(readPartitions, [historyTables.map(({ table }) => table)]);
  return rows.flatMap((row) => {
    const history = historyTables.find(({ table }) => table === row.parent);
    const monthMs = monthOf(row.name);
    return history === undefined || monthMs === null ? [] : [partitionAt(history, monthMs)];
  });
}

/**
 * Makes what is missing of this month and the next three; returns what it made. Safe to call at any time, from several
 * processes at once. Throws STORE_UNAVAILABLE if a table is in use for too long just now; what was made stays.
 */
export async function ensurePartitions(database: PostgresDatabase, nowMs: number): Promise<readonly string[]> {
  const present = new Set((await listPartitions(database)).map(({ name }) => name));
  const made: string[] = [];
  for (const history of historyTables) {
    for (const partition of partitionsAhead(history, nowMs)) {
      if (present.has(partition.name)) continue;
      if (await makePartition(database, history, partition)) made.push(partition.name);
    }
  }
  return made;
}

function partitionsAhead(history: HistoryTable, nowMs: number): readonly HistoryPartition[] {
  const partitions = [partitionAt(history, nowMs)];
  while (partitions.length <= partitionLimits.monthsAhead) {
    const last = partitions.at(-1);
    partitions.push(partitionAt(history, last?.toMs ?? nowMs));
  }
  return partitions;
}

const lockPartitions = statement<never, [number]>("SELECT pg_advisory_xact_lock($1)");
const tableExists = adHoc<{ found: boolean }, [string]>("SELECT to_regclass($1) IS NOT NULL AS found");
const readPartitions = adHoc<{ parent: string; name: string }, [readonly string[]]>(`
  SELECT parent.relname AS parent, part.relname AS name
  FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class part ON part.oid = i.inhrelid
  WHERE parent.relname = ANY ($1) AND parent.relnamespace = current_schema()::regnamespace
  ORDER BY part.relname`);

/** The names and ids in these texts are made here, of letters, digits and underscores. */
async function makePartition(
  database: PostgresDatabase,
  { table, key }: HistoryTable,
  { name, lowerId, upperId }: HistoryPartition,
): Promise<boolean> {
  return database.transaction(async (session) => {
    await session.run(adHoc(`SET LOCAL lock_timeout = ${partitionLimits.lockTimeoutMs}`), []);
    await session.run(lockPartitions, [storeLocks.partitions]);
    if ((await session.one(tableExists, [name]))?.found !== false) return false;
    const rest = defaultPartitionName(table);
    await session.run(
      adHoc(`
        CREATE TABLE ${name} (LIKE ${table} INCLUDING ALL);
        LOCK TABLE ONLY ${table} IN SHARE ROW EXCLUSIVE MODE;
        LOCK TABLE ${rest} IN ACCESS EXCLUSIVE MODE;
        WITH moved AS (DELETE FROM ${rest} WHERE ${key} >= '${lowerId}' AND ${key} < '${upperId}' RETURNING *)
          INSERT INTO ${name} SELECT * FROM moved;
        ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${lowerId}') TO ('${upperId}');`),
      [],
    );
    return true;
  });
}

const nameShape = /_(\d{4})_(\d{2})$/;

function monthOf(name: string): number | null {
  const [, year, month] = nameShape.exec(name) ?? [];
  if (year === undefined || month === undefined) return null;
  return Date.UTC(Number(year), Number(month) - 1);
}
