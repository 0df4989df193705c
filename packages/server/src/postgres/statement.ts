import { createHash } from "node:crypto";

/** What a parameter may be. Many rows travel as one parameter: a JSON array, unpacked by `json_to_recordset`. */
export type SqlValue = string | number | boolean | null | readonly string[] | readonly number[];

/** A text that each connection parses and plans once. `Row` and `Values` tie it to what it gives and takes. */
export interface Statement<Row, Values extends readonly SqlValue[]> {
  readonly name: string;
  readonly text: string;
  /** Types only; nothing is stored here. */
  readonly types?: readonly [row: Row, values: Values];
}

const NAME_CHARS = 20;

/**
 * Names a text by its digest, so that equal texts share a plan and two texts never share a name. Call it once, at
 * module level or where a store is built; a text that is made for one call is an `adHoc` one.
 */
export function statement<Row = never, Values extends readonly SqlValue[] = []>(text: string): Statement<Row, Values> {
  return { name: createHash("sha256").update(text).digest("hex").slice(0, NAME_CHARS), text };
}

/** A text that is parsed and planned each time, with its values in mind: searches, migrations. */
export function adHoc<Row = never, Values extends readonly SqlValue[] = readonly SqlValue[]>(
  text: string,
): Statement<Row, Values> {
  return { name: "", text };
}

/**
 * That a column, or several that one unique index begins with, have the values of a row at hand: SQL for the condition
 * of a join that must be a look-up for each row.
 *
 * It is a range of one value, not an equality, and that is its point. For an equality the planner also considers to
 * read the whole table in the order of its index and to compare each row with each; if the table was empty when its
 * statistics were made, that looks cheapest, and stays in use while the table grows (seen: 160 ms instead of 3 for a
 * batch of 300). A range can only be looked up, and partitions are pruned by it as well.
 */
export function keyIs(columns: string, values: string): string {
  return `${columns} BETWEEN ${values} AND ${values}`;
}

/**
 * Rows as the one parameter of `json_to_recordset`. What text in PostgreSQL cannot hold, a NUL or half of a surrogate
 * pair, becomes U+FFFD; JSON that contains their escapes is other text, and is left alone.
 */
export function toJsonRows(rows: readonly object[]): string {
  const json = JSON.stringify(rows);
  if (!json.includes("\\ud") && !json.includes("\\u0000")) return json;
  return json.replace(unstorable, (found) => (found.startsWith("\\u") ? "\\ufffd" : found));
}

/** `JSON.stringify` escapes surrogates only if they are alone. Escaped backslashes are matched to be stepped over. */
const unstorable = /\\\\|\\ud[89a-f][0-9a-f]{2}|\\u0000/g;
