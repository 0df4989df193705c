import {
  outboxStatus,
  type OutboxResult,
  type OutboxRow,
  type PlatformRow,
  type RouterRow,
} from "../domain/outbox-row.ts";
import type { OutboxKind } from "../ports/outbox-publisher.ts";
import { outboxProcessorLimits } from "./outbox-limits.ts";

/** A row as it is sent, or why it never will be. */
export type ReadRow =
  | { readonly kind: "item"; readonly of: OutboxKind; readonly json: string }
  | { readonly kind: "bad"; readonly result: OutboxResult };

/** The member that makes a second sending harmless, by the row's type. */
const idMembers: Readonly<Record<string, string>> = {
  EVENT: "deduplicationId",
  DISPATCH_JOB: "idempotencyKey",
  AUDIT_LOG: "id",
};

/**
 * Makes the item of a row: the payload's own text, with the members added that the application left to the columns.
 * They are added at the end of the text, so that numbers beyond what a double holds, and the order of members, stay as
 * they were written; of a member that stands there as null the later one counts.
 */
export function readRow(row: OutboxRow): ReadRow {
  if (row.payload === null) {
    return bad(row, `The payload is larger than ${outboxProcessorLimits.payloadMaxBytes} bytes.`);
  }
  return row.form === "platform" ? platformItem(row, row.payload) : routerItem(row, row.payload);
}

function platformItem(row: PlatformRow, payload: string): ReadRow {
  const kind = kindOf(row.type);
  const idMember = idMembers[row.type];
  if (kind === null || idMember === undefined) {
    return bad(row, `The type ${JSON.stringify(row.type.slice(0, 50))} is none of EVENT, DISPATCH_JOB, AUDIT_LOG.`);
  }
  const fields = objectIn(payload);
  if (fields === null) return bad(row, "The payload is no JSON object.");
  const added = [member(fields, idMember, row.id)];
  if (row.group !== null) added.push(member(fields, "messageGroup", row.group));
  if (row.clientId !== null) added.push(member(fields, "clientId", row.clientId));
  if (kind === "DISPATCH_JOB" && row.headers !== null && isAbsent(fields, "headers")) {
    if (objectIn(row.headers) === null) return bad(row, "The headers are no JSON object.");
    added.push(`"headers":${row.headers}`);
  }
  return { kind: "item", of: kind, json: withMembers(payload, Object.keys(fields).length === 0, added) };
}

function routerItem(row: RouterRow, payload: string): ReadRow {
  if (row.headers !== null && objectIn(row.headers) === null) return bad(row, "The headers are no JSON object.");
  const members = [
    `"id":${JSON.stringify(row.id)}`,
    `"target":${JSON.stringify(row.target)}`,
    `"payload":${JSON.stringify(payload)}`,
    `"deduplicationId":${JSON.stringify(row.deduplicationId ?? row.id)}`,
    ...(row.headers === null ? [] : [`"headers":${row.headers}`]),
    ...(row.poolCode === null ? [] : [`"poolCode":${JSON.stringify(row.poolCode)}`]),
    ...(row.group === null ? [] : [`"messageGroupId":${JSON.stringify(row.group)}`]),
  ];
  return { kind: "item", of: "ROUTER_MESSAGE", json: `{${members.join(",")}}` };
}

function kindOf(type: string): OutboxKind | null {
  return type === "EVENT" || type === "DISPATCH_JOB" || type === "AUDIT_LOG" ? type : null;
}

type Fields = Readonly<Record<string, unknown>>;

/** Null: it is no JSON, or no object. */
function objectIn(text: string): Fields | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAbsent(fields: Fields, name: string): boolean {
  return fields[name] === undefined || fields[name] === null;
}

/** Empty: the application wrote one itself. */
function member(fields: Fields, name: string, value: string): string {
  return isAbsent(fields, name) ? `"${name}":${JSON.stringify(value)}` : "";
}

function withMembers(object: string, isEmpty: boolean, members: readonly string[]): string {
  const added = members.filter((text) => text !== "").join(",");
  if (added === "") return object;
  const open = object.slice(0, object.lastIndexOf("}"));
  return `${open}${isEmpty ? "" : ","}${added}}`;
}

function bad({ id }: OutboxRow, error: string): ReadRow {
  return { kind: "bad", result: { kind: "refused", id, status: outboxStatus.badRequest, error } };
}
