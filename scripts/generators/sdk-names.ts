/**
 * What the operations of the APIs are called in the SDK: `client.<resource>.<method>`.
 *
 * By rule, the resource comes from the operation's tag and the method is the operationId without the resource's noun:
 * `pauseSubscription` is `subscriptions.pause`, `getSubscriptionStats` is `subscriptions.stats`, `listSubscriptions` is
 * `subscriptions.list`. Where the rule reads badly, the name stands in `NAMED`. A tag that is not known here stops the
 * generator, so that a new resource is named on purpose.
 */
export interface MethodName {
  readonly resource: string;
  readonly method: string;
}

interface Resource {
  readonly name: string;
  /** Left out of operationIds; the first that fits. */
  readonly nouns: readonly string[];
}

/** By API and tag. */
const RESOURCES: Readonly<Record<string, Resource>> = {
  "platform Events": { name: "events", nouns: ["Event"] },
  "platform Event types": { name: "eventTypes", nouns: ["EventType"] },
  "platform Subscriptions": { name: "subscriptions", nouns: ["Subscription"] },
  "platform Dispatch pools": { name: "pools", nouns: ["DispatchPool"] },
  "platform Dispatch jobs": { name: "jobs", nouns: ["DispatchJob"] },
  "platform Replays": { name: "replays", nouns: ["Replay"] },
  "platform Groups": { name: "groups", nouns: ["HeldGroup", "Group"] },
  "platform Audit logs": { name: "auditLogs", nouns: ["AuditLog"] },
  "platform Router control": { name: "routerControl", nouns: ["Router"] },
  "platform Service": { name: "service", nouns: [] },
  "router Messages": { name: "messages", nouns: ["Messages"] },
  "router Monitoring": { name: "monitoring", nouns: ["Router"] },
  "router Service": { name: "routerService", nouns: ["Router"] },
};

const NAMED: Readonly<Record<string, MethodName>> = {
  getEventTypeByCode: { resource: "eventTypes", method: "getByCode" },
  createReplay: { resource: "replays", method: "create" },
  searchEvents: { resource: "events", method: "search" },
  getEventFilterOptions: { resource: "events", method: "filterOptions" },
  searchDispatchJobs: { resource: "jobs", method: "search" },
  getDispatchJobFilterOptions: { resource: "jobs", method: "filterOptions" },
  listDeadLetters: { resource: "deadLetters", method: "list" },
  getDeadLetter: { resource: "deadLetters", method: "get" },
  replayDeadLetters: { resource: "deadLetters", method: "replay" },
  discardDeadLetters: { resource: "deadLetters", method: "discard" },
};

/** A method for one of several bodies that an operation takes, with what is answered to that one. */
export interface Variant {
  readonly method: string;
  /** A component's name. */
  readonly body: string;
  readonly answer: string;
}

/** Operations whose answer depends on what is sent. */
export const VARIANTS: Readonly<Record<string, readonly Variant[]>> = {
  createEvent: [{ method: "create", body: "CreateEvent", answer: "Event" }],
  createEventBatch: [
    { method: "createBatch", body: "CreateEventBatch", answer: "EventBatchAnswer" },
    { method: "createItems", body: "CreateEventItems", answer: "ItemsAnswer" },
  ],
  createDispatchJobBatch: [
    { method: "createBatch", body: "CreateDispatchJobBatch", answer: "DispatchJobBatchAnswer" },
    { method: "createItems", body: "CreateDispatchJobItems", answer: "ItemsAnswer" },
  ],
  createAuditLogBatch: [{ method: "createItems", body: "CreateAuditLogItems", answer: "ItemsAnswer" }],
};

/** Throws when the operation's tag is not known. */
export function methodName(api: string, tag: string, operationId: string): MethodName {
  const named = NAMED[operationId];
  if (named !== undefined) return named;
  const resource = RESOURCES[`${api} ${tag}`];
  if (resource === undefined) {
    throw new Error(
      `${operationId} has the tag "${tag}": say in scripts/generators/sdk-names.ts what the SDK calls it`,
    );
  }
  return { resource: resource.name, method: methodOf(operationId, resource) };
}

function methodOf(operationId: string, { nouns }: Resource): string {
  const [, verb = operationId, rest = ""] = /^([a-z]+)(.*)$/.exec(operationId) ?? [];
  const noun = nouns.find((one) => rest.startsWith(one));
  const left = noun === undefined ? rest : rest.slice(noun.length).replace(/^s(?=[A-Z]|$)/, "");
  if (verb === "delete" && left === "") return "remove";
  if ((verb === "get" || verb === "list") && left !== "") return lowerFirst(left);
  return verb + left;
}

/** The iterator over all pages of a method. */
export function iteratorName(method: string): string {
  if (method === "list") return "all";
  return method === "search" ? "searchAll" : `all${upperFirst(method)}`;
}

export function upperFirst(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

export function kebab(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
