import type { SearchPaging } from "../../ports/search.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc, type SqlValue, type Statement } from "../../postgres/statement.ts";
import { searchLimits } from "../search-results.ts";

/** Rows that match, by id: how many there are, as far as they are counted, and those of the page in order. */
export interface Matches {
  readonly matched: number;
  readonly ids: readonly string[];
}

/** Selects `id` and what `order` names, of all that match; `order` is that of the list. */
export interface MatchQuery {
  readonly select: string;
  readonly order: string;
  readonly values: readonly SqlValue[];
}

/** Made for one search: its values decide the plan. Counts to one more than the limit, and reads no further. */
export function matchStatement({ select, order }: MatchQuery, paging: SearchPaging): Statement<Matches, SqlValue[]> {
  const { countMaxRows } = searchLimits;
  const offset = Math.min(paging.page * paging.size, countMaxRows);
  const limit = Math.min(paging.size, countMaxRows - offset);
  return adHoc(`
    WITH matching AS MATERIALIZED (${select} ORDER BY ${order} LIMIT ${countMaxRows + 1})
    SELECT (SELECT count(*) FROM matching) AS matched,
      ARRAY(SELECT id FROM matching ORDER BY ${order} LIMIT ${limit} OFFSET ${offset}) AS ids`);
}

export async function findMatches(session: PostgresSession, query: MatchQuery, paging: SearchPaging): Promise<Matches> {
  const found = await session.one(matchStatement(query, paging), [...query.values]);
  return found ?? { matched: 0, ids: [] };
}

/** The rows in the order of the ids; one that has gone meanwhile is left out. */
export function inOrder<Row extends { readonly id: string }>(
  rows: readonly Row[],
  ids: readonly string[],
): readonly Row[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}
