import { jobStatusSchema, parseTime } from "@flowcatalyst/contracts";
import type { JobStatus } from "../../domain/dispatch-job.ts";
import type { Scope } from "../../domain/scope.ts";
import { validationError } from "../../http/validation.ts";
import type { JobSearch } from "../../ports/search.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";
import { translatePoolName, translateStatus } from "../aliases.ts";
import { clientIdsOf, manyTexts } from "../many-texts.ts";
import { findPoolCode } from "../pool-names.ts";

/** Members that filter jobs, as lists and searches name them. */
export interface JobFilterQuery {
  readonly status?: string | string[] | undefined;
  readonly subscriptionId?: string | undefined;
  readonly eventId?: string | undefined;
  readonly code?: string | undefined;
  readonly clientId?: string | string[] | undefined;
  readonly dispatchPoolId?: string | undefined;
  readonly messageGroup?: string | undefined;
  readonly createdAfter?: string | undefined;
  readonly createdBefore?: string | undefined;
}

export async function jobSearchOf(
  query: JobFilterQuery,
  pools: DispatchPoolRepository,
  scope: Scope,
): Promise<JobSearch> {
  const statuses = manyTexts("status", query.status)?.map(statusOf);
  const poolCode =
    query.dispatchPoolId === undefined ? undefined : await poolCodeOf(query.dispatchPoolId, pools, scope);
  return {
    ...(statuses === undefined ? {} : { statuses }),
    ...(query.subscriptionId === undefined ? {} : { subscriptionId: query.subscriptionId }),
    ...(query.eventId === undefined ? {} : { eventId: query.eventId }),
    ...(query.code === undefined ? {} : { code: query.code }),
    ...clientIdsOf(query.clientId),
    ...(poolCode === undefined ? {} : { poolCode }),
    ...(query.messageGroup === undefined ? {} : { messageGroup: query.messageGroup }),
    ...timeMember("createdAfterMs", query.createdAfter),
    ...timeMember("createdBeforeMs", query.createdBefore),
  };
}

/** `{name: ms}` if the text is a time, else nothing. */
export function timeMember<Name extends string>(
  name: Name,
  text: string | undefined,
): { readonly [N in Name]?: number } {
  const ms = text === undefined ? null : parseTime(text);
  return (ms === null ? {} : { [name]: ms }) as { readonly [N in Name]?: number };
}

function statusOf(text: string): JobStatus {
  const parsed = jobStatusSchema.safeParse(translateStatus(text.toUpperCase()));
  if (parsed.success) return parsed.data;
  throw validationError([{ path: "status", message: `is no job status: ${text}` }]);
}

/** A pool that is gone may still be named by jobs: an unknown name is looked for as it is. */
async function poolCodeOf(idOrCode: string, pools: DispatchPoolRepository, scope: Scope): Promise<string> {
  return (await findPoolCode(pools, idOrCode, scope)) ?? translatePoolName(idOrCode);
}
