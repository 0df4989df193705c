import {
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
  type StreamUpdateConfig,
} from "@nats-io/jetstream";
import { PermissionViolationError } from "@nats-io/transport-node";
import { CodedError, describeError } from "@flowcatalyst/foundation";
import type { NatsNames } from "./nats-names.ts";
import { isApiError, isMissing, isPassing, type NatsLink } from "./nats-link.ts";
import { natsQueueDefaults, natsQueueLimits, type NatsQueueSettings } from "./nats-queue-config.ts";

/** The library's class of this name is not exported. */
const noJetStream = "JetStreamNotEnabled";
const NS_PER_MS = 1_000_000;

/** What the stream is found or made with. */
export interface NatsStreams {
  readonly dedupWindowMs: number;
}

/**
 * Makes the two streams, or looks whether those that are there can keep what the queue promises. One that could lose
 * messages is refused, and never changed; limits that the URL names are set; everything else is as its operator has it.
 */
export async function ensureStreams(
  link: NatsLink,
  names: NatsNames,
  settings: NatsQueueSettings,
): Promise<NatsStreams> {
  const wanted: Partial<StreamUpdateConfig> = {
    ...(settings.replicas === null ? {} : { num_replicas: settings.replicas }),
    ...(settings.maxMessages === null ? {} : { max_msgs: settings.maxMessages }),
    ...(settings.maxBytes === null ? {} : { max_bytes: settings.maxBytes }),
    ...(settings.dedupWindowMs === null ? {} : { duplicate_window: settings.dedupWindowMs * NS_PER_MS }),
  };
  const work = await ensureStream(link, {
    config: {
      name: names.stream,
      subjects: [names.laneSubjects],
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      num_replicas: natsQueueDefaults.replicas,
      max_msgs: natsQueueDefaults.maxMessages,
      max_bytes: natsQueueDefaults.maxBytes,
      duplicate_window: natsQueueDefaults.dedupWindowMs * NS_PER_MS,
      ...wanted,
    },
    wanted,
    faultsOf: (config) => workFaults(config, names),
  });
  const replicas = settings.replicas === null ? {} : { num_replicas: settings.replicas };
  await ensureStream(link, {
    config: {
      name: names.deadStream,
      subjects: [names.deadSubject],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      num_replicas: natsQueueDefaults.replicas,
      max_msgs: natsQueueLimits.maxDeadLetters,
      allow_direct: true,
      ...replicas,
    },
    wanted: { allow_direct: true, ...replicas },
    faultsOf: (config) => deadFaults(config, names),
  });
  return { dedupWindowMs: Math.floor(work.config.duplicate_window / NS_PER_MS) };
}

interface WantedStream {
  readonly config: Partial<StreamConfig> & { readonly name: string };
  /** What is changed if it is otherwise. */
  readonly wanted: Partial<StreamUpdateConfig>;
  readonly faultsOf: (config: StreamConfig) => readonly string[];
}

async function ensureStream(link: NatsLink, { config, wanted, faultsOf }: WantedStream): Promise<StreamInfo> {
  const { streams } = link.manager;
  const { name } = config;
  try {
    const found = await streams.info(name).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    if (found === null) return await streams.add(config);
    const faults = faultsOf(found.config);
    if (faults.length > 0) {
      const message = `The NATS stream ${name} at ${link.where} is there with other settings: ${faults.join(", ")}.`;
      throw new CodedError("CONFIG_INVALID", { message });
    }
    const differs = Object.entries(wanted).some(([key, value]) => found.config[key as keyof StreamConfig] !== value);
    return differs ? await streams.update(name, wanted) : found;
  } catch (error) {
    if (error instanceof CodedError) throw error;
    if (error instanceof Error && error.name === noJetStream) {
      const message = `NATS at ${link.where} has no JetStream: start nats-server with -js, or with jetstream {}.`;
      throw new CodedError("CONFIG_INVALID", { message, cause: error });
    }
    const isRefused = (isApiError(error) && !isPassing(error)) || isForbidden(error);
    const code = isRefused ? "CONFIG_INVALID" : "QUEUE_UNAVAILABLE";
    const message = `The NATS stream ${name} at ${link.where} cannot be read or made: ${describeError(error)}.`;
    throw new CodedError(code, { message, cause: error });
  }
}

/** Not allowed to ask; the library says so of the request, or of what became of it. */
function isForbidden(error: unknown): boolean {
  if (error instanceof PermissionViolationError) return true;
  return error instanceof Error && error.cause instanceof PermissionViolationError;
}

/** What would lose messages, deliver them to nobody, or mix them with those of others. */
function workFaults(config: StreamConfig, names: NatsNames): readonly string[] {
  const faults = commonFaults(config, names.laneSubjects);
  if (config.retention !== RetentionPolicy.Workqueue)
    faults.push(`retention is ${config.retention}, must be workqueue`);
  const isBounded = config.max_msgs > 0 || config.max_bytes > 0 || config.max_msgs_per_subject > 0;
  if (isBounded && config.discard !== DiscardPolicy.New) faults.push(`discard is ${config.discard}, must be new`);
  if (config.max_msgs_per_subject > 0 && config.discard_new_per_subject !== true) {
    faults.push("max_msgs_per_subject is set, must be -1");
  }
  if (config.max_age > 0) faults.push("max_age is set, must be 0");
  return faults;
}

function deadFaults(config: StreamConfig, names: NatsNames): readonly string[] {
  const faults = commonFaults(config, names.deadSubject);
  if (config.retention !== RetentionPolicy.Limits) faults.push(`retention is ${config.retention}, must be limits`);
  if (config.deny_delete) faults.push("deny_delete is true, must be false");
  return faults;
}

function commonFaults(config: StreamConfig, subject: string): string[] {
  const faults: string[] = [];
  const subjects = config.subjects ?? [];
  if (subjects.length !== 1 || subjects[0] !== subject) {
    faults.push(`subjects are ${subjects.join(" ") || "none"}, must be ${subject}`);
  }
  if (config.storage !== StorageType.File) faults.push(`storage is ${config.storage}, must be file`);
  if (config.no_ack) faults.push("no_ack is true, must be false");
  if (config.sealed) faults.push("sealed is true, must be false");
  return faults;
}
