import { createHash } from "node:crypto";
import type { PostgresDatabase } from "./postgres-database.ts";
import { adHoc, type SqlValue, type Statement } from "./statement.ts";

/** How a statement was carried out. */
export interface QueryPlan {
  /** One line a node, indented: its kind, and the index or table it reads. */
  readonly text: string;
  /** Rows looked at in tables and indexes, whether they were taken or not. */
  readonly rowsRead: number;
}

/**
 * Carries the statement out as a session of this database would once it is prepared, looks at the plan, and rolls back.
 */
export async function planOf<Row, Values extends readonly SqlValue[]>(
  database: PostgresDatabase,
  statement: Statement<Row, Values>,
  values: NoInfer<Values>,
): Promise<QueryPlan> {
  return (await keepPlan(database, statement, values))();
}

/**
 * Prepares the statement and has it planned now, with what is in the tables now. What it returns carries it out by that
 * plan, as `planOf` does, once. `database` must have one connection only, and be in use at least every few seconds.
 */
export async function keepPlan<Row, Values extends readonly SqlValue[]>(
  database: PostgresDatabase,
  { text }: Statement<Row, Values>,
  values: NoInfer<Values>,
): Promise<() => Promise<QueryPlan>> {
  const name = `explained_${createHash("sha256").update(text).digest("hex").slice(0, NAME_CHARS)}`;
  const execute = values.length === 0 ? `EXECUTE ${name}` : `EXECUTE ${name} (${values.map(literal).join(", ")})`;
  await database.transaction(async (session) => {
    await session.run(adHoc(`PREPARE ${name} AS ${text}`), []);
    await session.query(adHoc(`EXPLAIN ${execute}`), []);
  });
  return async () => {
    let plan: QueryPlan | null = null;
    const explained = database.transaction(async (session) => {
      const explain = adHoc<ExplainRow>(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) ${execute}`);
      const [row] = await session.query(explain, []);
      await session.run(adHoc(`DEALLOCATE ${name}`), []);
      plan = summaryOf(row?.["QUERY PLAN"][0]?.Plan ?? { "Node Type": "none" });
      throw rollBack;
    });
    await explained.catch((error: unknown) => {
      if (error !== rollBack) throw error;
    });
    return plan ?? { text: "", rowsRead: 0 };
  };
}

const NAME_CHARS = 20;

const rollBack = new Error("rolled back: a plan is looked at, not carried out");

interface ExplainRow {
  readonly "QUERY PLAN": readonly { readonly Plan: PlanNode }[];
}

interface PlanNode {
  readonly "Node Type": string;
  readonly "Index Name"?: string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows"?: number;
  readonly "Actual Loops"?: number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Rows Removed by Index Recheck"?: number;
  readonly Plans?: readonly PlanNode[];
}

function summaryOf(node: PlanNode, depth = 0): QueryPlan {
  const name = node["Index Name"] ?? node["Relation Name"];
  const reads = node["Relation Name"] !== undefined && node["Node Type"].endsWith("Scan");
  const each =
    (node["Actual Rows"] ?? 0) + (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0);
  const own = reads ? each * (node["Actual Loops"] ?? 1) : 0;
  const below = (node.Plans ?? []).map((child) => summaryOf(child, depth + 1));
  const line = "  ".repeat(depth) + node["Node Type"] + (name === undefined ? "" : ` ${name}`);
  return {
    text: [line, ...below.map(({ text }) => text)].join("\n"),
    rowsRead: below.reduce((sum, { rowsRead }) => sum + rowsRead, own),
  };
}

function literal(value: SqlValue): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return `'${value.replaceAll("'", "''")}'`;
  if (typeof value === "object")
    return `'{${value.map((one) => JSON.stringify(one)).join(",")}}'`.replaceAll("\\", "\\\\");
  return String(value);
}
