import { defaultPoolCode } from "../domain/dispatch-pool.ts";
import type { JobStatus } from "../domain/dispatch-job.ts";

/**
 * Names that other FlowCatalyst builds use for what is ours, translated at the edge. This is the only file that knows
 * them: behind it there is one name per thing.
 */

const pathAliases: readonly (readonly [string, string])[] = [["/api/dispatch/jobs", "/api/dispatch-jobs"]];

/** Further paths an endpoint answers at. */
export function aliasPathsOf(path: string): readonly string[] {
  return pathAliases
    .filter(([ours]) => path === ours || path.startsWith(`${ours}/`))
    .map(([ours, alias]) => alias + path.slice(ours.length));
}

type Renames = readonly (readonly [ours: string, aliases: readonly string[]])[];

const targetNames: Renames = [["targetUrl", ["target", "endpoint"]]];
const auditLogNames: Renames = [
  ["principalId", ["performedBy"]],
  ["data", ["operationData"]],
];

/** Endpoints whose body has members with other names, and the members that hold lists of such bodies, if any. */
const bodies: Readonly<Record<string, { readonly names: Renames; readonly lists: readonly string[] | null }>> = {
  createSubscription: { names: targetNames, lists: null },
  replaceSubscription: { names: targetNames, lists: null },
  updateSubscription: { names: targetNames, lists: null },
  createDispatchJob: { names: targetNames, lists: null },
  createDispatchJobBatch: { names: targetNames, lists: ["jobs", "items"] },
  createAuditLogBatch: { names: auditLogNames, lists: ["items"] },
};

/** The body with our names. What is not understood is left as it is, for the validation to refuse by name. */
export function translateBody(endpointId: string, body: unknown): unknown {
  const known = bodies[endpointId];
  if (known === undefined || !isRecord(body)) return body;
  const { names, lists } = known;
  if (lists === null) return withOurNames(body, names);
  const translated = { ...body };
  for (const member of lists) {
    const list = body[member];
    if (!Array.isArray(list)) continue;
    translated[member] = list.map((item: unknown) => (isRecord(item) ? withOurNames(item, names) : item));
  }
  return translated;
}

function withOurNames(body: Readonly<Record<string, unknown>>, names: Renames): Readonly<Record<string, unknown>> {
  let translated = body;
  for (const [ours, aliases] of names) {
    const alias = ours in translated ? undefined : aliases.find((name) => name in translated);
    if (alias === undefined) continue;
    const { [alias]: value, ...others } = translated;
    translated = { ...others, [ours]: value };
  }
  return translated;
}

/** Pool names that mean the default pool. */
export function translatePoolName(idOrCode: string): string {
  return idOrCode.toLowerCase() === "default" ? defaultPoolCode : idOrCode;
}

type Query = Record<string, string | string[]>;

/** Paging of keyset lists: `limit`, also called `size` and `pageSize`; a first page may call itself page 0. */
export function translateListPaging({ page, ...query }: Query): Query {
  const translated = renamed(query, "limit", ["size", "pageSize"]);
  return page === undefined || page === "0" ? translated : { ...translated, page };
}

/** Paging of numbered searches: `page` and `size`, the latter also called `limit` and `pageSize`. */
export function translateSearchPaging(query: Query): Query {
  return renamed(query, "size", ["limit", "pageSize"]);
}

function renamed(query: Query, name: string, aliases: readonly string[]): Query {
  if (name in query) return query;
  const alias = aliases.find((candidate) => candidate in query);
  if (alias === undefined) return query;
  const { [alias]: value = "", ...others } = query;
  return { ...others, [name]: value };
}

const statusAliases: Readonly<Record<string, JobStatus>> = {
  DELIVERED: "COMPLETED",
  ERROR: "FAILED",
  PROCESSING: "QUEUED",
  IN_PROGRESS: "QUEUED",
};

/** Older names of job statuses. */
export function translateStatus(status: string): string {
  return statusAliases[status] ?? status;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
