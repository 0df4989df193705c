import { SqsError } from "../../node_modules/fauxqs/dist/common/errors.js";
import { PersistenceManager } from "../../node_modules/fauxqs/dist/persistence.js";
import { SqsQueue } from "../../node_modules/fauxqs/dist/sqs/sqsStore.js";

const deduplicationMs = 5 * 60_000;
const forgetEveryMs = 60_000;
const longestVisibilitySecs = 43_200;

/** What is used of the emulator's database (node:sqlite, which tools on an older Node cannot resolve). */
export interface EmulatorDatabase {
  exec(sql: string): void;
  prepare(sql: string): {
    run(...values: readonly (string | number)[]): unknown;
    get(...values: readonly (string | number)[]): Record<string, unknown> | undefined;
  };
}

export function isDatabase(value: unknown): value is EmulatorDatabase {
  return typeof value === "object" && value !== null && "exec" in value && "prepare" in value;
}

/**
 * Queues of fauxqs behave as those of AWS in what tests of order, restarts and long waits would miss: see
 * sqs-emulator.ts.
 *
 * fauxqs gives one message of a group at a time. Its lock of a group counts messages in flight, so more of them are had
 * by asking again while the locks of those just taken are lifted. What comes back goes to the front of its group one by
 * one, which turns several round; so the group is put in the order of its sequence numbers. What is given back at once
 * breaks a rule of its database, and would be gone until the next start.
 */
export function behaveLikeAws(database: EmulatorDatabase): void {
  giveManyOfOneGroup();
  keepOrderOfWhatComesBack();
  rememberDuplicates(database);
  noteWhatIsGivenBack(database);
  endVisibility();
}

/** A start reads the messages in whatever order its database gives them. */
export function sortGroups(queue: SqsQueue): void {
  for (const group of queue.fifoMessages.keys()) sortGroup(queue, group);
}

function noteWhatIsGivenBack(database: EmulatorDatabase): void {
  const ready = database.prepare(
    "UPDATE sqs_messages SET receipt_handle = NULL, visibility_deadline = NULL WHERE message_id = ?",
  );
  PersistenceManager.prototype.updateMessageReady = (messageId) => {
    ready.run(messageId);
  };
}

function giveManyOfOneGroup(): void {
  const { dequeue } = SqsQueue.prototype;
  SqsQueue.prototype.dequeue = function (maxCount, visibilityTimeout, dlqResolver) {
    if (!this.isFifo()) return dequeue.call(this, maxCount, visibilityTimeout, dlqResolver);
    const received: ReturnType<typeof dequeue> = [];
    const taken = new Map<string, number>();
    while (received.length < maxCount) {
      const more = dequeue.call(this, maxCount - received.length, visibilityTimeout, dlqResolver);
      if (more.length === 0) break;
      received.push(...more);
      for (const { ReceiptHandle: handle } of more) {
        const group = this.inflightMessages.get(handle)?.message.messageGroupId ?? "";
        taken.set(group, (taken.get(group) ?? 0) + 1);
        this.fifoLockedGroups.delete(group);
      }
    }
    for (const [group, count] of taken) this.fifoLockedGroups.set(group, count);
    return received;
  };
}

function keepOrderOfWhatComesBack(): void {
  const { changeVisibility, processTimers } = SqsQueue.prototype;
  SqsQueue.prototype.changeVisibility = function (receiptHandle, timeoutSeconds) {
    const group = this.inflightMessages.get(receiptHandle)?.message.messageGroupId;
    changeVisibility.call(this, receiptHandle, timeoutSeconds);
    if (this.isFifo() && group !== undefined && timeoutSeconds === 0) sortGroup(this, group);
  };
  SqsQueue.prototype.processTimers = function () {
    const now = Date.now();
    const comingBack = new Set<string>();
    if (this.isFifo()) {
      for (const { message, visibilityDeadline } of this.inflightMessages.values()) {
        if (visibilityDeadline <= now) comingBack.add(message.messageGroupId ?? "");
      }
    }
    processTimers.call(this);
    for (const group of comingBack) sortGroup(this, group);
  };
}

/** A message is invisible for 12 hours from its receipt at most, however often that is extended. */
function endVisibility(): void {
  const receivedAt = new WeakMap<object, number>();
  const { dequeue, changeVisibility } = SqsQueue.prototype;
  SqsQueue.prototype.dequeue = function (maxCount, visibilityTimeout, dlqResolver) {
    const received = dequeue.call(this, maxCount, visibilityTimeout, dlqResolver);
    for (const { ReceiptHandle: handle } of received) {
      const entry = this.inflightMessages.get(handle);
      if (entry !== undefined) receivedAt.set(entry, Date.now());
    }
    return received;
  };
  SqsQueue.prototype.changeVisibility = function (receiptHandle, timeoutSeconds) {
    const entry = this.inflightMessages.get(receiptHandle);
    const received = (entry && receivedAt.get(entry)) ?? Date.now();
    if (Date.now() - received + timeoutSeconds * 1000 > longestVisibilitySecs * 1000) {
      const reason = `Total VisibilityTimeout for the message is beyond the limit [${longestVisibilitySecs} seconds]`;
      const fault = `Value ${timeoutSeconds} for parameter VisibilityTimeout is invalid. Reason: ${reason}.`;
      throw new SqsError("InvalidParameterValue", fault);
    }
    changeVisibility.call(this, receiptHandle, timeoutSeconds);
  };
}

function sortGroup(queue: SqsQueue, group: string): void {
  queue.fifoMessages.get(group)?.sort((a, b) => ((a.sequenceNumber ?? "") < (b.sequenceNumber ?? "") ? -1 : 1));
}

/** The message and the note of its id are written together: a retry after a kill finds both or none. */
function rememberDuplicates(database: EmulatorDatabase): void {
  database.exec(`CREATE TABLE IF NOT EXISTS seen_ids (queue TEXT, id TEXT, message_id TEXT, sequence_number TEXT,
    until INTEGER, PRIMARY KEY (queue, id)) WITHOUT ROWID`);
  const note = database.prepare("INSERT OR REPLACE INTO seen_ids VALUES (?, ?, ?, ?, ?)");
  const find = database.prepare("SELECT message_id, sequence_number, until FROM seen_ids WHERE queue = ? AND id = ?");
  const forget = database.prepare("DELETE FROM seen_ids WHERE until <= ?");
  setInterval(() => forget.run(Date.now()), forgetEveryMs);
  const { enqueue } = SqsQueue.prototype;
  SqsQueue.prototype.checkDeduplication = function (id) {
    const seen = find.get(this.name, id);
    if (!seen || Number(seen["until"]) <= Date.now()) return { isDuplicate: false };
    return {
      isDuplicate: true,
      originalMessageId: String(seen["message_id"]),
      originalSequenceNumber: String(seen["sequence_number"]),
    };
  };
  SqsQueue.prototype.recordDeduplication = () => {};
  SqsQueue.prototype.enqueue = function (message) {
    const { messageDeduplicationId: id, messageId, sequenceNumber = "", approximateReceiveCount } = message;
    // A message on its way to a dead-letter queue was sent before; its id there is no news.
    if (id === undefined || approximateReceiveCount > 0) return enqueue.call(this, message);
    database.exec("BEGIN");
    enqueue.call(this, message);
    note.run(this.name, id, messageId, sequenceNumber, Date.now() + deduplicationMs);
    database.exec("COMMIT");
  };
}
