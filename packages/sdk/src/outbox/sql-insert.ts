import type { OutboxRow } from "./outbox-entry.ts";

/** The INSERT that all drivers of SQL share. Values are always parameters; only the checked table name is not. */
export type SqlValue = string | number | null;

/** How a library writes the place of a parameter: `$1` or `?`. */
export type Placeholders = "numbered" | "marks";

/** What the SDK sets; `status`, `retry_count`, `created_at` and `updated_at` have defaults in the table. */
export const outboxColumns = ["id", "type", "message_group", "payload", "client_id", "payload_size"] as const;

/** Few numbers of rows, so that few statements are prepared. */
const chunkSizes = [64, 8, 1] as const;
/** Servers bound what one statement may carry: MySQL 16 MiB unless set. */
const chunkMaxBytes = 4_194_304;

/** The table is quoted, so that its letters keep their case. SQLite takes the marks of MySQL too. */
export function insertStatement(table: string, rowCount: number, placeholders: Placeholders): string {
  const mark = placeholders === "marks" ? "`" : '"';
  const quoted = table.split(".").map((name) => `${mark}${name}${mark}`);
  const place = (row: number, column: number): string =>
    placeholders === "marks" ? "?" : `$${row * outboxColumns.length + column + 1}`;
  const tuple = (row: number): string => `(${outboxColumns.map((_, column) => place(row, column)).join(", ")})`;
  const tuples = Array.from({ length: rowCount }, (_, row) => tuple(row));
  return `INSERT INTO ${quoted.join(".")} (${outboxColumns.join(", ")}) VALUES ${tuples.join(", ")}`;
}

export function insertValues(rows: readonly OutboxRow[]): SqlValue[] {
  return rows.flatMap((row) => [row.id, row.type, row.messageGroup, row.payload, row.clientId, row.payloadSize]);
}

/** The rows in portions of 64, 8 or 1, each within the bytes of a statement. */
export function chunksOf(rows: readonly OutboxRow[]): readonly (readonly OutboxRow[])[] {
  const chunks: (readonly OutboxRow[])[] = [];
  for (let at = 0; at < rows.length;) {
    const size = chunkSizes.find((wanted) => wanted === 1 || fits(rows, at, wanted)) ?? 1;
    chunks.push(rows.slice(at, at + size));
    at += size;
  }
  return chunks;
}

function fits(rows: readonly OutboxRow[], at: number, size: number): boolean {
  const chunk = rows.slice(at, at + size);
  return chunk.length === size && chunk.reduce((bytes, row) => bytes + row.payloadSize, 0) <= chunkMaxBytes;
}
