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

const targetUrlAliases = ["target", "endpoint"] as const;

/** Endpoints whose body names a target, and the member that holds a list of such bodies, if any. */
const bodiesWithTarget: Readonly<Record<string, string | null>> = {
  createSubscription: null,
  replaceSubscription: null,
  updateSubscription: null,
  createDispatchJob: null,
  createDispatchJobBatch: "jobs",
};

/** The body with our names. What is not understood is left as it is, for the validation to refuse by name. */
export function translateBody(endpointId: string, body: unknown): unknown {
  const listMember = bodiesWithTarget[endpointId];
  if (listMember === undefined || !isRecord(body)) return body;
  if (listMember === null) return translateTarget(body);
  const list = body[listMember];
  if (!Array.isArray(list)) return body;
  return { ...body, [listMember]: list.map((item: unknown) => (isRecord(item) ? translateTarget(item) : item)) };
}

function translateTarget(body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if ("targetUrl" in body) return body;
  const alias = targetUrlAliases.find((name) => name in body);
  if (alias === undefined) return body;
  const { [alias]: targetUrl, ...others } = body;
  return { ...others, targetUrl };
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
