import { MongoClient, MongoError, MongoServerError, type Collection, type Document } from "mongodb";
import { CodedError } from "@flowcatalyst/foundation";
import { addressRefused, outboxTableOf, tablesMissing, withDriver } from "../outbox-form.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { tableForms, type TableForm } from "../table-form.ts";

/**
 * The way to the application's MongoDB, 4.4 or later.
 *
 * Everything is read and written with the concern `majority`: a row that a failover could take back has not been
 * committed, and must not become an event.
 */
export interface RowDocument extends Document {
  readonly _id: string;
}

export interface MongoTable {
  readonly form: TableForm;
  readonly name: string;
  readonly controlName: string;
  readonly rows: Collection<RowDocument>;
  readonly control: Collection<RowDocument>;
  /** Runs a question, and gives what the driver reports as errors of ours. */
  readonly asking: <Result>(question: () => Promise<Result>) => Promise<Result>;
  /** By the server's clock. */
  now(): Promise<Date>;
  close(): Promise<void>;
}

/** The control collection has one document. */
export const controlId = "control";

export const mongoLimits = {
  maxConnections: 6,
  serverSelectionTimeoutMs: 5_000,
  connectTimeoutMs: 5_000,
  answerTimeoutMs: 20_000,
} as const;

/** Connects with the first question. Throws CONFIG_INVALID for an address that the driver does not take. */
export function mongoTable({ url, form, table }: OutboxSourceConfig): MongoTable {
  outboxTableOf(table);
  // Without a name the driver would take the database `test`.
  if (!/\/\/[^/]+\/[^/?]+/.test(url)) throw addressRefused("names no database: mongodb://host/database");
  const { client, database } = withDriver(() => {
    const client = new MongoClient(url, {
      appName: "flowcatalyst",
      maxPoolSize: mongoLimits.maxConnections,
      serverSelectionTimeoutMS: mongoLimits.serverSelectionTimeoutMs,
      connectTimeoutMS: mongoLimits.connectTimeoutMs,
      socketTimeoutMS: mongoLimits.answerTimeoutMs,
      readPreference: "primary",
      readConcern: { level: "majority" },
      writeConcern: { w: "majority" },
    });
    // It looks at the database's name only now.
    return { client, database: client.db() };
  });
  const controlName = `${table}_control`;
  const control = database.collection<RowDocument>(controlName);
  const asking = async <Result>(question: () => Promise<Result>): Promise<Result> => {
    try {
      return await question();
    } catch (error) {
      throw toStoreError(error);
    }
  };
  return {
    form: tableForms[form],
    name: table,
    controlName,
    rows: database.collection<RowDocument>(table),
    control,
    asking,
    now: () =>
      asking(async () => {
        const asked = control.aggregate<Readonly<Record<string, unknown>>>([
          { $match: { _id: controlId } },
          { $project: { now: "$$NOW" } },
        ]);
        const [row] = await asked.toArray();
        if (row !== undefined && row["now"] instanceof Date) return row["now"];
        throw tablesMissing(controlName, []);
      }),
    close: () => client.close(),
  };
}

/** Codes of the server: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const unavailableCodes: ReadonlySet<number> = new Set([
  6, 7, 50, 63, 64, 89, 91, 133, 134, 189, 262, 317, 358, 384, 9001, 10_107, 11_600, 11_602, 13_388, 13_435, 13_436,
]);
const outOfDiskSpace = 14_031;

/** A question that the server cannot take passes through: it is a fault of ours. */
function toStoreError(error: unknown): unknown {
  if (isUnresolved(error)) return new CodedError("STORE_UNAVAILABLE", { cause: error });
  if (error instanceof CodedError || !(error instanceof MongoError)) return error;
  if (!(error instanceof MongoServerError)) return new CodedError("STORE_UNAVAILABLE", { cause: error });
  const { code } = error;
  const context = { number: code };
  if (code === outOfDiskSpace) return new CodedError("STORE_FULL", { context, cause: error });
  const heals = typeof code === "number" && unavailableCodes.has(code);
  return heals ? new CodedError("STORE_UNAVAILABLE", { context, cause: error }) : error;
}

/** No answer to the question where `mongodb+srv:` has its hosts; of the driver, it is no error of its own. */
function isUnresolved(error: unknown): boolean {
  return (
    error instanceof Error &&
    "syscall" in error &&
    typeof error.syscall === "string" &&
    error.syscall.startsWith("query")
  );
}

type Fields = Readonly<Record<string, unknown>>;

export function textField(document: Fields, field: string): string {
  const value = document[field];
  return typeof value === "string" ? value : "";
}

export function textOrNullField(document: Fields, field: string): string | null {
  const value = document[field];
  return typeof value === "string" ? value : null;
}

export function numberField(document: Fields, field: string): number {
  const value = Number(document[field] ?? 0);
  return Number.isSafeInteger(value) ? value : 0;
}

/** What an application wrote as a document where text is meant, as the text of its JSON. */
export function jsonField(document: Fields, field: string): string | null {
  const value = document[field];
  if (value === null || value === undefined) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}
