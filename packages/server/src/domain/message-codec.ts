import { defaultPoolCode } from "./dispatch-pool.ts";
import type { GroupKey, JobId, MessageId, PoolCode } from "./ids.ts";
import type { JobDelivery, JobItem, JobReference, PlatformMessage, QueueMessage } from "./message.ts";
import { briefly, faultOf, nameToldOf, type DecodedMessage, type MessageFault } from "./decoded-message.ts";
import { encodeStandalone, parseStandaloneMessage } from "./standalone-message.ts";

/**
 * Messages as text, for every queue.
 *
 * Three forms travel, told apart by their first character and a version:
 *
 * | form | text | made by |
 * |---|---|---|
 * | references | `[1,"id","lane",group,traceparent,[["job_…",generation,bytes],…]]` | the scheduler, for a queue in the
 * database |
 * | deliveries | `{"v":1,"id":…,"lane":…,"jobs":[{…}]}` | the scheduler, for a broker |
 * | stand-alone | `{"id":…,"poolCode":…,"mediationType":"HTTP","target":…,"payload":…}` | users, in camelCase or
 * snake_case |
 *
 * The array form exists because it is written and read once per message on the hottest path: field names would be half
 * of its bytes. A reader refuses a version it does not know instead of guessing, so a newer scheduler beside an older
 * router dead-letters visibly rather than delivering nonsense.
 *
 * Decoding never throws. A body that cannot be read is a value with a code and the path of each fault; the queue puts
 * it to its dead-letter place with that reason and goes on with the rest of the batch. What can be told of it (id,
 * lane) is kept for the person who looks at it later.
 */

/** Version of both platform forms. */
export const messageFormatVersion = 1;

/** The text that travels. Reads back as an equal message. */
export function encodeMessage(message: QueueMessage): string {
  if (message.kind === "standalone") return encodeStandalone(message);
  const { id, lane, groupKey, traceparent, jobs } = message;
  if (jobs.every((job) => job.kind === "reference")) {
    const references = jobs.map((job) => [job.jobId, job.generation, referenceBytes(job)]);
    return JSON.stringify([messageFormatVersion, id, lane, groupKey, traceparent, references]);
  }
  return JSON.stringify({ v: messageFormatVersion, id, lane, groupKey, jobs, traceparent });
}

function referenceBytes(job: JobItem): number {
  return job.kind === "reference" ? job.bytes : 0;
}

/** Reads any of the three forms. A stand-alone message that names no pool is of the pool whose lane it lay in. */
export function decodeMessage(text: string, lane: PoolCode = defaultPoolCode): DecodedMessage {
  try {
    return decode(text, lane);
  } catch (error) {
    // What recursive code of the runtime gives up on: a payload nested tens of thousands deep.
    if (error instanceof RangeError) return malformed([faultOf("", "is nested too deeply to be read")]);
    throw error;
  }
}

function decode(text: string, lane: PoolCode): DecodedMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return malformed([faultOf("", `is not JSON: ${error instanceof Error ? error.message : "unreadable"}`)]);
  }
  if (Array.isArray(value)) return decodeReferences(value);
  if (isObject(value) && "v" in value) return decodeDeliveries(value);
  return parseStandaloneMessage(value, "ignoreUnknownFields", lane);
}

/** One line for the dead-letter place, of a length that any place can take. */
export function describeFaults(faults: readonly MessageFault[]): string {
  const told = faults.slice(0, toldLimits.faultsMax).map(({ path, message }) => {
    const text = path === "" ? message : `${path} ${message}`;
    return text.length > toldLimits.faultMaxChars ? `${text.slice(0, toldLimits.faultMaxChars)}…` : text;
  });
  const more = faults.length - told.length;
  return more > 0 ? `${told.join("; ")}; and ${more} more` : told.join("; ");
}

/** Of the faults of a message, what is told: who made it up may have made them long and many. */
const toldLimits = { faultsMax: 10, faultMaxChars: 300 } as const;

/** Messages with this id are the same to the queue: the deduplication id the sender gave, else the message's id. */
export function deduplicationIdOf(message: QueueMessage): string {
  return message.kind === "standalone" ? (message.deduplicationId ?? message.id) : message.id;
}

function decodeReferences(value: readonly unknown[]): DecodedMessage {
  const [version, id, lane, groupKey, traceparent, references] = value;
  if (version !== messageFormatVersion) return malformed([unknownVersion("[0]", version)]);
  const faults = headFaults({ id, lane, groupKey, traceparent });
  if (!Array.isArray(references) || references.length === 0) faults.push(faultOf("jobs", "must be a list of jobs"));
  if (faults.length > 0) return malformed(faults, id, lane);
  const jobs: JobItem[] = [];
  for (const [index, reference] of (references as readonly unknown[]).entries()) {
    const job = readReference(reference);
    if (job === null) faults.push(faultOf(`jobs[${index}]`, "must be [jobId, generation, bytes]"));
    else jobs.push(job);
  }
  return platform({ id, lane, groupKey, traceparent }, jobs, faults);
}

function readReference(value: unknown): JobReference | null {
  if (!Array.isArray(value)) return null;
  const [jobId, generation, bytes] = value as readonly unknown[];
  if (!isJobId(jobId) || !isSmallCount(generation) || !isCount(bytes)) return null;
  return { kind: "reference", jobId: jobId as JobId, generation, bytes };
}

function decodeDeliveries(value: Readonly<Record<string, unknown>>): DecodedMessage {
  const { v: version, id, lane, groupKey = null, traceparent = null, jobs: items } = value;
  if (version !== messageFormatVersion) return malformed([unknownVersion("v", version)], id, lane);
  const faults = headFaults({ id, lane, groupKey, traceparent });
  if (!Array.isArray(items) || items.length === 0) faults.push(faultOf("jobs", "must be a list of jobs"));
  if (faults.length > 0) return malformed(faults, id, lane);
  const jobs: JobItem[] = [];
  for (const [index, item] of (items as readonly unknown[]).entries()) {
    const itemFaults = jobFaults(item, `jobs[${index}]`);
    if (itemFaults.length === 0) jobs.push(item as JobItem);
    else faults.push(...itemFaults);
  }
  return platform({ id, lane, groupKey, traceparent }, jobs, faults);
}

interface MessageHead {
  readonly id: unknown;
  readonly lane: unknown;
  readonly groupKey: unknown;
  readonly traceparent: unknown;
}

function platform(head: MessageHead, jobs: readonly JobItem[], faults: readonly MessageFault[]): DecodedMessage {
  if (faults.length > 0) return malformed(faults, head.id, head.lane);
  const message: PlatformMessage = {
    kind: "platform",
    id: head.id as MessageId,
    lane: head.lane as PoolCode,
    groupKey: head.groupKey as GroupKey | null,
    jobs,
    traceparent: head.traceparent as string | null,
  };
  return { kind: "message", message };
}

function headFaults(head: MessageHead): MessageFault[] {
  const faults: MessageFault[] = [];
  if (!isText(head.id)) faults.push(faultOf("id", "must be a text that is not empty"));
  if (!isText(head.lane)) faults.push(faultOf("lane", "must be a text that is not empty"));
  if (head.groupKey !== null && !isText(head.groupKey)) faults.push(faultOf("groupKey", "must be a text or null"));
  if (head.traceparent !== null && !isText(head.traceparent)) {
    faults.push(faultOf("traceparent", "must be a text or null"));
  }
  return faults;
}

type Check = (value: unknown) => boolean;
const nullOr =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const oneOf =
  (...allowed: readonly string[]): Check =>
  (value) =>
    typeof value === "string" && allowed.includes(value);

const referenceChecks: Record<keyof JobReference, Check> = {
  kind: oneOf("reference"),
  jobId: isJobId,
  generation: isSmallCount,
  bytes: isCount,
};

const deliveryChecks: Record<keyof JobDelivery, Check> = {
  kind: oneOf("delivery"),
  jobId: isJobId,
  generation: isSmallCount,
  attemptCount: isSmallCount,
  generationAttempts: isSmallCount,
  clientId: nullOr(isText),
  subscriptionId: nullOr(isText),
  target: isText,
  contentType: isText,
  format: oneOf("data", "cloudevents"),
  headers: isTextRecord,
  payloadKind: oneOf("json", "text", "base64"),
  payload: nullOr((value) => typeof value === "string"),
  timeoutSeconds: (value) => typeof value === "number" && value > 0,
  retry: isRetryPolicy,
  expiresAtMs: isCount,
  legacySignature: (value) => typeof value === "boolean",
  secretRef: nullOr(isText),
  event: nullOr((value) => isObject(value) && isText(value["id"]) && isText(value["type"])),
};

function jobFaults(item: unknown, path: string): MessageFault[] {
  if (!isObject(item)) return [faultOf(path, "must be an object")];
  const checks: Readonly<Record<string, Check>> = item["kind"] === "reference" ? referenceChecks : deliveryChecks;
  const faults: MessageFault[] = [];
  for (const [field, check] of Object.entries(checks)) {
    if (!check(item[field])) faults.push(faultOf(`${path}.${field}`, "is missing or of the wrong type"));
  }
  return faults;
}

function isRetryPolicy(value: unknown): boolean {
  return (
    isObject(value) &&
    isCount(value["maxRetries"]) &&
    Array.isArray(value["delaysMs"]) &&
    value["delaysMs"].every(isCount)
  );
}

function isTextRecord(value: unknown): boolean {
  return isObject(value) && Object.values(value).every((text) => typeof text === "string");
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length > 0;
}

/** As the platform makes them. What no store can hold must not get as far as a statement that asks for many jobs. */
function isJobId(value: unknown): value is string {
  return typeof value === "string" && jobIdShape.test(value);
}

const jobIdShape = /^[!-~]{1,255}$/;

/** What stores keep as an integer of 32 bits; one attempt more must fit as well. */
function isSmallCount(value: unknown): value is number {
  return isCount(value) && value < MAX_INT32;
}

const MAX_INT32 = 2_147_483_647;

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unknownVersion(path: string, version: unknown): MessageFault {
  return faultOf(path, `is version ${briefly(version)}; this build reads version ${messageFormatVersion}`);
}

function malformed(faults: readonly MessageFault[], id: unknown = null, lane: unknown = null): DecodedMessage {
  return {
    kind: "malformed",
    code: "MESSAGE_INVALID",
    id: nameToldOf(id) as MessageId | null,
    lane: nameToldOf(lane) as PoolCode | null,
    faults,
  };
}
