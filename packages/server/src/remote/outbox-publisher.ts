import { itemsAnswerSchema, routerPublishAnswerSchema, type RouterPublishResult } from "@flowcatalyst/contracts";
import type { Clock } from "@flowcatalyst/foundation";
import type { ItemOutcome, OutboxBatch, OutboxKind, OutboxPublisher } from "../ports/outbox-publisher.ts";
import { createOutboxPoster, type OutboxHttpConfig, type OutboxPost } from "./outbox-http.ts";

type PlatformKind = Exclude<OutboxKind, "ROUTER_MESSAGE">;

const platformPaths: Readonly<Record<PlatformKind, string>> = {
  EVENT: "/api/events/batch",
  DISPATCH_JOB: "/api/dispatch/jobs/batch",
  AUDIT_LOG: "/api/audit-logs/batch",
};
const routerPath = "/api/router/publish";

/** Sends batches to the platform, and messages to the router; each by the address it is given. */
export function createOutboxPublisher(deps: { readonly clock: Clock }, config: OutboxHttpConfig): OutboxPublisher {
  const post = createOutboxPoster(deps, config);
  return { publish: (batch, signal) => post(postOf(batch), signal) };
}

function postOf({ kind, items }: OutboxBatch): OutboxPost {
  const list = items.map(({ json }) => json).join(",");
  if (kind === "ROUTER_MESSAGE") {
    return { path: routerPath, body: `{"messages":[${list}]}`, read: (answer) => routerOutcomes(answer, items.length) };
  }
  return {
    path: platformPaths[kind],
    body: `{"items":[${list}]}`,
    read: (answer) => platformOutcomes(answer, items.length),
  };
}

function platformOutcomes(answer: unknown, count: number): readonly ItemOutcome[] | null {
  const parsed = itemsAnswerSchema.safeParse(answer);
  if (!parsed.success || parsed.data.results.length !== count) return null;
  return parsed.data.results.map(({ status, error: told = "" }, at): ItemOutcome => {
    const error = ofItem(told, at);
    switch (status) {
      case "SUCCESS":
        return { kind: "done" };
      case "BAD_REQUEST":
        return { kind: "badRequest", error };
      case "FORBIDDEN":
        return { kind: "forbidden", error };
      case "INTERNAL_ERROR":
        return { kind: "internalError", error };
    }
  });
}

/** The row keeps it: its place in a request that is over says nothing to whoever reads that. */
function ofItem(error: string, at: number): string {
  return error.replaceAll(`items[${at}].`, "").replaceAll(`items[${at}]`, "The payload");
}

function routerOutcomes(answer: unknown, count: number): readonly ItemOutcome[] | null {
  const parsed = routerPublishAnswerSchema.safeParse(answer);
  if (!parsed.success || parsed.data.results.length !== count) return null;
  return parsed.data.results.map(routerOutcome);
}

function routerOutcome({ status, code = "", error = "" }: RouterPublishResult): ItemOutcome {
  switch (status) {
    case "PUBLISHED":
    case "DUPLICATE":
      return { kind: "done" };
    case "INVALID":
      return { kind: "badRequest", error: `${code} ${error}`.trim() };
    case "REFUSED":
      return { kind: "internalError", error: `${code} ${error}`.trim() };
  }
}
