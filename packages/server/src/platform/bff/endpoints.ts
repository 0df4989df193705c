import {
  dispatchJobFilterOptionsSchema,
  dispatchJobSearchPageSchema,
  dispatchJobSearchQuerySchema,
  eventFilterOptionsSchema,
  eventFilterQuerySchema,
  eventSearchPageSchema,
  eventSearchQuerySchema,
} from "@flowcatalyst/contracts";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Searches";

export const bffEndpoints = {
  events: endpoint({
    id: "searchEvents",
    method: "get",
    path: "/api/bff/events",
    tag,
    summary: "Search events, newest first",
    description: "type takes * patterns; q looks into the data within a time window, 24 h if none is given.",
    paging: "search",
    query: eventSearchQuerySchema,
    answers: { 200: { description: "One page.", schema: eventSearchPageSchema } },
  }),
  eventFilterOptions: endpoint({
    id: "getEventFilterOptions",
    method: "get",
    path: "/api/bff/events/filter-options",
    tag,
    summary: "Values to choose from, each list narrowed by the choices before it",
    query: eventFilterQuerySchema,
    answers: { 200: { description: "The options.", schema: eventFilterOptionsSchema } },
  }),
  dispatchJobs: endpoint({
    id: "searchDispatchJobs",
    method: "get",
    path: "/api/bff/dispatch-jobs",
    tag,
    summary: "Search dispatch jobs, newest first",
    paging: "search",
    query: dispatchJobSearchQuerySchema,
    answers: { 200: { description: "One page.", schema: dispatchJobSearchPageSchema } },
  }),
  dispatchJobFilterOptions: endpoint({
    id: "getDispatchJobFilterOptions",
    method: "get",
    path: "/api/bff/dispatch-jobs/filter-options",
    tag,
    summary: "Values to choose from",
    answers: { 200: { description: "The options.", schema: dispatchJobFilterOptionsSchema } },
  }),
} as const;
