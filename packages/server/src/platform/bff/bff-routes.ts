import { jobStatusSchema, parseTime, type EventSearchQuery, type FilterOption } from "@flowcatalyst/contracts";
import type { EventSearch } from "../../ports/search.ts";
import { jsonAnswer, jsonTextAnswer, searchMembers } from "../answers.ts";
import { jobSearchOf } from "../dispatch-jobs/job-filter.ts";
import { jobOut } from "../dispatch-jobs/job-out.ts";
import { eventJson } from "../events/event-json.ts";
import { clientIdsOf, manyTexts } from "../many-texts.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { bffEndpoints } from "./endpoints.ts";

/** A search inside data looks at this much time when the caller names none. */
const textSearchWindowMs = 24 * 3_600_000;
/** Subscriptions and pools offered to choose from. */
const optionsMax = 1_000;

export function mountBff(mount: Mount, deps: PlatformDeps): void {
  const { searches, pools, clock } = deps;
  mount.endpoint(bffEndpoints.events, async ({ query, scope }) => {
    const paging = { page: query.page, size: query.size };
    const page = await searches.events(eventSearchOf(query, clock.now()), paging, scope);
    const members = JSON.stringify(searchMembers(page, paging)).slice(1);
    return jsonTextAnswer(`{"items":[${page.items.map(eventJson).join(",")}],${members}`);
  });
  mount.endpoint(bffEndpoints.eventFilterOptions, async ({ query, scope }) => {
    const options = await searches.eventFilterOptions(query, scope);
    return jsonAnswer({
      clients: options.clients.map(option),
      applications: options.applications.map(option),
      subdomains: options.subdomains.map(option),
      aggregates: options.aggregates.map(option),
      types: options.types.map(option),
    });
  });
  mount.endpoint(bffEndpoints.dispatchJobs, async ({ query, scope }) => {
    const { page: number, size, ...filter } = query;
    const paging = { page: number, size };
    const page = await searches.jobs(await jobSearchOf(filter, pools, scope), paging, scope);
    return jsonAnswer({ items: page.items.map(jobOut), ...searchMembers(page, paging) });
  });
  mount.endpoint(bffEndpoints.dispatchJobFilterOptions, async ({ scope }) => {
    const request = { limit: optionsMax, cursor: null };
    const [subscriptions, dispatchPools] = await Promise.all([
      deps.subscriptions.list({}, request, scope),
      pools.list(request, scope),
    ]);
    return jsonAnswer({
      statuses: jobStatusSchema.options.map(option),
      subscriptions: subscriptions.items.map(({ id, name }) => ({ value: id, label: name })),
      dispatchPools: dispatchPools.items.map(({ code, name }) => ({ value: code, label: name ?? code })),
      modes: ["IMMEDIATE", "NEXT_ON_ERROR", "BLOCK_ON_ERROR"].map(option),
    });
  });
}

function option(value: string): FilterOption {
  return { value, label: value };
}

function eventSearchOf(query: EventSearchQuery, nowMs: number): EventSearch {
  const types = manyTexts("type", query.type);
  const after = query.timeAfter === undefined ? null : parseTime(query.timeAfter);
  const before = query.timeBefore === undefined ? null : parseTime(query.timeBefore);
  const windowStart = query.q === undefined || after !== null ? after : (before ?? nowMs) - textSearchWindowMs;
  return {
    ...clientIdsOf(query.clientId),
    ...(types === undefined ? {} : { types }),
    ...(query.source === undefined ? {} : { source: query.source }),
    ...(query.subject === undefined ? {} : { subject: query.subject }),
    ...(query.correlationId === undefined ? {} : { correlationId: query.correlationId }),
    ...(query.messageGroup === undefined ? {} : { messageGroup: query.messageGroup }),
    ...(windowStart === null ? {} : { timeAfterMs: windowStart }),
    ...(before === null ? {} : { timeBeforeMs: before }),
    ...(query.q === undefined ? {} : { text: query.q }),
  };
}
