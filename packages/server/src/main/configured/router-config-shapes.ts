import { z } from "zod";
import { defaultPoolCode, poolLimits } from "../../domain/dispatch-pool.ts";
import type { PoolCode } from "../../domain/ids.ts";
import { signingKeyOf } from "../../domain/signature.ts";

/**
 * What FC_ROUTER_CONFIG_URL answers and what the file of FC_ROUTER_POOLS_PATH holds.
 *
 * Names may be in snake_case, as other builds and most TOML files have them. An answer is read with tolerance (fields
 * that are not known are passed over, because the platform may be newer than its routers); a file is somebody's own
 * text, so what is not known there is a fault.
 */
export interface ConfiguredPool {
  readonly code: PoolCode;
  readonly concurrency: number;
  /** Null: no limit. */
  readonly rateLimitPerMinute: number | null;
  /** Undefined: whatever the platform says of the pool. */
  readonly burst?: number | undefined;
  readonly timeoutSeconds?: number | undefined;
}

export interface ConfiguredQueue {
  readonly name: string;
  readonly uri: string;
  /** Questions kept open for a lane at a time; undefined: as the setting says. */
  readonly connections?: number | undefined;
  /** Undefined: as the setting says. */
  readonly visibilityMs?: number | undefined;
}

export interface RouterConfigAnswer {
  readonly pools: readonly ConfiguredPool[];
  readonly queues: readonly ConfiguredQueue[];
}

export interface PoolsFile {
  readonly pools: readonly ConfiguredPool[];
  /** By reference, newest first. */
  readonly secrets: ReadonlyMap<string, readonly string[]>;
}

/** Something that is wrong, and where. */
export interface ShapeFault {
  readonly path: string;
  readonly message: string;
}

export type Shaped<T> =
  | { readonly kind: "shaped"; readonly value: T }
  | { readonly kind: "faulty"; readonly faults: readonly ShapeFault[] };

const limits = {
  nameMaxChars: 255,
  uriMaxChars: 4_096,
  maxQueues: 100,
  maxConnections: 64,
  visibilityMinSeconds: 3,
  visibilityMaxSeconds: 43_200,
  rateMaxPerMinute: 10_000_000,
  timeoutMaxSeconds: 3_600,
  maxSecrets: 1_000,
} as const;

const msPerSecond = 1_000;

const codeSchema = z
  .string()
  .min(1)
  .max(limits.nameMaxChars)
  .transform((code) => (code === "default" ? defaultPoolCode : code) as PoolCode);
const concurrencySchema = z.int().min(1).max(poolLimits.maxConcurrency).default(poolLimits.concurrency);
/** Other builds write 0 for a pool without a limit. */
const rateSchema = z.int().min(0).max(limits.rateMaxPerMinute).nullish();

const answerSchema = z.object({
  processingPools: z
    .array(z.object({ code: codeSchema, concurrency: concurrencySchema, rateLimitPerMinute: rateSchema }))
    .max(poolLimits.maxPools)
    .default([]),
  queues: z
    .array(
      z.object({
        queueName: z.string().min(1).max(limits.nameMaxChars),
        queueUri: z.string().min(1).max(limits.uriMaxChars),
        connections: z.int().min(1).max(limits.maxConnections).nullish(),
        visibilityTimeout: z.int().min(limits.visibilityMinSeconds).max(limits.visibilityMaxSeconds).nullish(),
      }),
    )
    .max(limits.maxQueues)
    .default([]),
});

const secretSchema = z.string().refine((text) => signingKeyOf(text) !== null, {
  error: "is no secret: it must read whsec_ and base64",
});

const fileSchema = z.strictObject({
  pools: z
    .array(
      z.strictObject({
        code: codeSchema,
        concurrency: concurrencySchema,
        rateLimitPerMinute: rateSchema,
        burst: z.int().min(1).max(limits.rateMaxPerMinute).optional(),
        timeoutSeconds: z.int().min(1).max(limits.timeoutMaxSeconds).optional(),
      }),
    )
    .max(poolLimits.maxPools)
    .default([]),
  secrets: z
    .record(z.string().min(1).max(limits.nameMaxChars), z.union([secretSchema, z.array(secretSchema).min(1)]))
    .default({}),
});

export function readConfigAnswer(body: unknown): Shaped<RouterConfigAnswer> {
  const read = answerSchema.safeParse(withCamelCaseNames(body));
  if (!read.success) return { kind: "faulty", faults: faultsOf(read.error) };
  const { processingPools, queues } = read.data;
  return {
    kind: "shaped",
    value: {
      pools: processingPools.map(poolOf),
      queues: queues.map(({ queueName, queueUri, connections, visibilityTimeout }) => ({
        name: queueName,
        uri: queueUri,
        connections: connections ?? undefined,
        visibilityMs: visibilityTimeout === null ? undefined : times(visibilityTimeout, msPerSecond),
      })),
    },
  };
}

/** All faults at once; none of them holds a value, because some values are secrets. */
export function readPoolsDocument(root: unknown): Shaped<PoolsFile> {
  const secretNames = isTable(root) && isTable(root["secrets"]) ? root["secrets"] : {};
  const document = isTable(root) ? { ...tableOf(withCamelCaseNames(root)), secrets: secretNames } : root;
  const read = fileSchema.safeParse(document ?? {});
  if (!read.success) return { kind: "faulty", faults: faultsOf(read.error) };
  const pools = read.data.pools.map(poolOf);
  const twice = pools.filter(({ code }, at) => pools.findIndex((pool) => pool.code === code) !== at);
  if (twice.length > 0) {
    const faults = twice.map(({ code }) => ({ path: "pools", message: `has two pools of the code ${code}` }));
    return { kind: "faulty", faults };
  }
  const secrets = new Map(
    Object.entries(read.data.secrets).map(([ref, given]) => [ref, typeof given === "string" ? [given] : given]),
  );
  if (secrets.size <= limits.maxSecrets) return { kind: "shaped", value: { pools, secrets } };
  return { kind: "faulty", faults: [{ path: "secrets", message: `has more than ${limits.maxSecrets} of them` }] };
}

function poolOf(pool: {
  readonly code: PoolCode;
  readonly concurrency: number;
  readonly rateLimitPerMinute?: number | null | undefined;
  readonly burst?: number | undefined;
  readonly timeoutSeconds?: number | undefined;
}): ConfiguredPool {
  const { rateLimitPerMinute } = pool;
  return { ...pool, rateLimitPerMinute: rateLimitPerMinute === 0 ? null : (rateLimitPerMinute ?? null) };
}

function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

type Table = Readonly<Record<string, unknown>>;

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tableOf(value: unknown): Table {
  return isTable(value) ? value : {};
}

/** Of the names, not of the values. Where both spellings stand, the one that stands later counts. */
function withCamelCaseNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withCamelCaseNames);
  if (!isTable(value)) return value;
  const named = Object.entries(value).map(([name, item]) => [camelCased(name), withCamelCaseNames(item)]);
  return Object.fromEntries(named) as unknown;
}

function camelCased(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function faultsOf({ issues }: z.ZodError): readonly ShapeFault[] {
  return issues.map((issue) => ({ path: pathOf(issue.path), message: messageOf(issue) }));
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`,
    "",
  );
}

function messageOf(issue: z.core.$ZodIssue): string {
  // Of the kinds that a secret may have, each says the same.
  if (issue.code === "invalid_union") return "must be a secret that reads whsec_ and base64, or a list of such";
  return issue.code === "unrecognized_keys" ? `has what is not known there: ${issue.keys.join(", ")}` : issue.message;
}
