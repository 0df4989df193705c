import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createPostgresServer, findPostgres, withClient, type PostgresSettings } from "../harness/postgres-server.ts";
import { processTreeUsage, type ProcessUsage } from "../harness/process-usage.ts";

/**
 * The PostgreSQL of a benchmark: an instance of its own with an empty database, and what the server itself counts.
 *
 * Durability is the server's default: fsync, synchronous_commit and full_page_writes on. What is set beyond the
 * defaults is what the production guide recommends for a small machine, and is printed with every result.
 *
 * Counts of rows are the server's cumulative statistics. A session hands its share in with delay, at the latest when it
 * ends, so they are read after the system has stopped. Statements are counted by pg_stat_statements where the server
 * has it: utility commands (BEGIN, COMMIT) too, for each is a round trip like any other.
 */
export interface BenchDatabase {
  readonly url: string;
  /** Takes what has been counted so far as the start, and forgets the statements. */
  mark(): Promise<void>;
  /** Since `mark`. Call when the system has stopped. */
  figures(): Promise<DatabaseFigures>;
  usage(): ProcessUsage;
  remove(): Promise<void>;
}

export interface DatabaseFigures {
  readonly version: string;
  /** All settings that are not the server's built-in defaults, and those that durability hangs on. */
  readonly settings: Readonly<Record<string, string>>;
  readonly rowWrites: number;
  readonly transactions: number;
  readonly walBytes: number;
  /** Null: the server has no pg_stat_statements. */
  readonly statements: readonly StatementFigures[] | null;
  readonly tables: readonly TableFigures[];
}

export interface StatementFigures {
  readonly text: string;
  readonly writes: boolean;
  readonly calls: number;
  readonly rows: number;
  readonly milliseconds: number;
  readonly walBytes: number;
}

export interface TableFigures {
  /** Partitions count as their table. */
  readonly name: string;
  readonly tableMb: number;
  readonly indexMb: number;
  readonly liveRows: number;
  readonly deadRows: number;
  readonly inserted: number;
  readonly updated: number;
  readonly updatedInPlace: number;
  readonly deleted: number;
  readonly vacuums: number;
}

const settings: PostgresSettings = { shared_buffers: "1GB", max_wal_size: "4GB", wal_compression: "lz4" };
const usageEveryMs = 1_000;
const sessionsEndWithinMs = 15_000;
const textShownChars = 400;

export async function startBenchDatabase(): Promise<BenchDatabase> {
  const countsStatements = hasStatementCounts();
  const preloaded: PostgresSettings = countsStatements ? { shared_preload_libraries: "pg_stat_statements" } : {};
  const server = await createPostgresServer({ settings: { ...settings, ...preloaded } });
  const url = await server.createDatabase("flowcatalyst");
  if (countsStatements) await withClient(url, (client) => client.query("CREATE EXTENSION pg_stat_statements"));
  let peakMemoryMb = 0;
  const sample = (): ProcessUsage => {
    const usage = processTreeUsage(server.pid);
    peakMemoryMb = Math.max(peakMemoryMb, usage.residentMemoryMb);
    return { ...usage, peakMemoryMb };
  };
  const sampling = setInterval(sample, usageEveryMs);
  let start: Totals = { rowWrites: 0, transactions: 0, walBytes: 0 };
  return {
    url,
    mark: async () => {
      start = await readTotals(url);
      if (countsStatements) await withClient(url, (client) => client.query("SELECT pg_stat_statements_reset()"));
    },
    figures: async () => {
      await untilAlone(url);
      const end = await readTotals(url);
      return {
        version: server.version,
        settings: await readSettings(url),
        rowWrites: end.rowWrites - start.rowWrites,
        transactions: end.transactions - start.transactions,
        walBytes: end.walBytes - start.walBytes,
        statements: countsStatements ? await readStatements(url) : null,
        tables: await readTables(url),
      };
    },
    usage: sample,
    remove: async () => {
      clearInterval(sampling);
      await server.remove();
    },
  };
}

function hasStatementCounts(): boolean {
  const bin = findPostgres()?.bin ?? "";
  const places = [join(dirname(bin), "lib"), join(dirname(bin), "lib/postgresql")];
  return places.some((place) => existsSync(join(place, "pg_stat_statements.so")));
}

interface Totals {
  readonly rowWrites: number;
  readonly transactions: number;
  readonly walBytes: number;
}

async function read<Row extends object>(url: string, sql: string): Promise<readonly Row[]> {
  return withClient(url, async (client) => (await client.query<Row>(sql)).rows);
}

/** The sessions of the system have ended, and so have handed in what they counted. */
async function untilAlone(url: string): Promise<void> {
  const until = performance.now() + sessionsEndWithinMs;
  for (;;) {
    const [row] = await read<{ others: string }>(
      url,
      `SELECT count(*) AS others FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
    if (Number(row?.others ?? 0) === 0) return;
    if (performance.now() > until) throw new Error("sessions of the system are still open after its stop");
    await Bun.sleep(50);
  }
}

async function readTotals(url: string): Promise<Totals> {
  const [row] = await read<{ rows: string; transactions: string; wal: string }>(
    url,
    `SELECT (SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables) AS rows,
            (SELECT xact_commit + xact_rollback FROM pg_stat_database
              WHERE datname = current_database()) AS transactions,
            pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS wal`,
  );
  return {
    rowWrites: Number(row?.rows),
    transactions: Number(row?.transactions),
    walBytes: Number(row?.wal),
  };
}

async function readSettings(url: string): Promise<Record<string, string>> {
  const rows = await read<{ name: string; value: string }>(
    url,
    `SELECT name, current_setting(name) AS value FROM pg_settings
      WHERE source IN ('command line', 'configuration file', 'database', 'user')
         OR name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum', 'wal_level')
      ORDER BY name`,
  );
  const ofThisInstance =
    /^(port|listen_addresses|unix_socket_directories|lc_|log_timezone|TimeZone|DateStyle|default_text)/;
  return Object.fromEntries(
    rows.filter(({ name }) => !ofThisInstance.test(name)).map(({ name, value }) => [name, value]),
  );
}

async function readStatements(url: string): Promise<StatementFigures[]> {
  const rows = await read<{ query: string; calls: string; rows: string; milliseconds: number; wal: string }>(
    url,
    `SELECT query, calls, rows, total_exec_time AS milliseconds, wal_bytes AS wal FROM pg_stat_statements
      WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND query !~ 'pg_stat_|pg_settings' ORDER BY calls DESC`,
  );
  return rows.map((row) => ({
    text: row.query.replace(/\s+/g, " ").trim().slice(0, textShownChars),
    writes: /\b(insert\s+into|update|delete\s+from)\b/i.test(row.query.replace(/\bfor\s+(no\s+key\s+)?update\b/gi, "")),
    calls: Number(row.calls),
    rows: Number(row.rows),
    milliseconds: Math.round(row.milliseconds),
    walBytes: Number(row.wal),
  }));
}

async function readTables(url: string): Promise<TableFigures[]> {
  const rows = await read<Record<string, string>>(
    url,
    `SELECT coalesce(parent.relname, s.relname) AS name,
            sum(pg_table_size(s.relid)) AS bytes, sum(pg_indexes_size(s.relid)) AS index_bytes,
            sum(n_live_tup) AS live, sum(n_dead_tup) AS dead, sum(n_tup_ins) AS inserted, sum(n_tup_upd) AS updated,
            sum(n_tup_hot_upd) AS in_place, sum(n_tup_del) AS deleted, sum(autovacuum_count) AS vacuums
       FROM pg_stat_user_tables s
       LEFT JOIN pg_inherits i ON i.inhrelid = s.relid
       LEFT JOIN pg_class parent ON parent.oid = i.inhparent
      GROUP BY 1 HAVING sum(n_tup_ins + n_tup_upd + n_tup_del) > 0
      ORDER BY sum(pg_total_relation_size(s.relid)) DESC`,
  );
  const mb = (bytes: string | undefined): number => Number((Number(bytes) / 1_048_576).toFixed(1));
  return rows.map((row) => ({
    name: row["name"] ?? "",
    tableMb: mb(row["bytes"]),
    indexMb: mb(row["index_bytes"]),
    liveRows: Number(row["live"]),
    deadRows: Number(row["dead"]),
    inserted: Number(row["inserted"]),
    updated: Number(row["updated"]),
    updatedInPlace: Number(row["in_place"]),
    deleted: Number(row["deleted"]),
    vacuums: Number(row["vacuums"]),
  }));
}
