import { CodedError } from "@flowcatalyst/foundation";
import type { PoolCode } from "../../domain/ids.ts";
import { defaultPoolCode } from "../../domain/dispatch-pool.ts";

/**
 * Where a queue is, as its URL tells:
 *
 *     sqs://NAME[.fifo]?region=eu-west-1&endpoint=http://127.0.0.1:4566&lanes=ORDERS,BILLING&dead=NAME&create=true
 *     https://sqs.REGION.amazonaws.com/ACCOUNT/NAME[.fifo]?lanes=…
 *     http://127.0.0.1:4566/000000000000/NAME[.fifo]
 */
export interface SqsAddress {
  readonly name: string;
  readonly isFifo: boolean;
  /** The queue's URL without parameters; null: it is asked for by its name. */
  readonly queueUrl: string | null;
  /** Where the service is; null: where the SDK finds it for the region. */
  readonly endpoint: string | null;
  /** Null: the SDK's own, from AWS_REGION or the profile. */
  readonly region: string | null;
  /** Lanes with a queue of their own. */
  readonly lanes: readonly PoolCode[];
  readonly deadName: string;
  readonly create: boolean;
}

const parameters = ["region", "endpoint", "lanes", "dead", "create"];
const queueName = /^[A-Za-z0-9_-]{1,80}(?:\.fifo)?$/;
const maxNameLength = 80;
const fifoEnding = ".fifo";
/** `sqs.eu-west-1.amazonaws.com`, `sqs-fips.us-east-1.…`, `vpce-1.sqs.eu-west-1.vpce.amazonaws.com`. */
const awsHost = /(?:^|\.)sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$/;

export function parseSqsUrl(text: string): SqsAddress {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["sqs:", "http:", "https:"].includes(url.protocol)) {
    throw fault("is not an address of a queue: sqs://NAME?region=… or https://sqs.REGION.amazonaws.com/ACCOUNT/NAME");
  }
  if (url.username !== "" || url.password !== "") {
    throw fault(
      "has a user or a password: credentials come from where AWS keeps them (AWS_PROFILE, AWS_ACCESS_KEY_ID)",
    );
  }
  for (const key of url.searchParams.keys()) {
    if (!parameters.includes(key)) throw fault(`has the parameter ${key}; known are ${parameters.join(", ")}`);
  }
  const place = url.protocol === "sqs:" ? placeByName(url) : placeByUrl(url);
  const isFifo = place.name.endsWith(fifoEnding);
  const lanes = lanesOf(url, place.name);
  const deadName = url.searchParams.get("dead") ?? besideName(place.name, "dead");
  if (!isQueueName(deadName)) throw fault(`names the dead-letter queue ${deadName}, which no queue can be called`);
  const own = [place.name, ...lanes.map((lane) => besideName(place.name, lane))];
  if (own.includes(deadName)) throw fault(`names ${deadName} for dead letters and for messages too`);
  return { ...place, isFifo, lanes, deadName, create: createOf(url) };
}

/** `orders.fifo` and `BILLING` make `orders-BILLING.fifo`. */
export function besideName(name: string, suffix: string): string {
  if (!name.endsWith(fifoEnding)) return `${name}-${suffix}`;
  return `${name.slice(0, -fifoEnding.length)}-${suffix}${fifoEnding}`;
}

type Place = Pick<SqsAddress, "name" | "queueUrl" | "endpoint" | "region">;

function placeByName(url: URL): Place {
  const name = url.host;
  if (!isQueueName(name) || !["", "/"].includes(url.pathname)) {
    throw fault("must be sqs://NAME, with letters, digits, - and _ in the name, and .fifo at its end for a FIFO queue");
  }
  return { name, queueUrl: null, endpoint: endpointOf(url), region: url.searchParams.get("region") };
}

function placeByUrl(url: URL): Place {
  const name = url.pathname.split("/").at(-1) ?? "";
  if (!isQueueName(name)) throw fault("must end in the account's number and the queue's name: …/123456789012/NAME");
  const region = awsHost.exec(url.hostname)?.[1] ?? null;
  return {
    name,
    queueUrl: `${url.origin}${url.pathname}`,
    endpoint: endpointOf(url) ?? url.origin,
    region: url.searchParams.get("region") ?? region,
  };
}

function endpointOf(url: URL): string | null {
  const endpoint = url.searchParams.get("endpoint");
  if (endpoint === null) return null;
  const parsed = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol) || parsed.username !== "") {
    throw fault("has an endpoint that is not http://HOST:PORT or https://HOST");
  }
  return parsed.origin;
}

function lanesOf(url: URL, name: string): readonly PoolCode[] {
  const texts = (url.searchParams.get("lanes") ?? "").split(",").map((lane) => lane.trim());
  const lanes = [...new Set(texts.filter((lane) => lane !== "" && lane !== defaultPoolCode))];
  const impossible = lanes.find((lane) => !isQueueName(besideName(name, lane)));
  if (impossible !== undefined) {
    throw fault(`lists the lane ${impossible}, but no queue can be called ${besideName(name, impossible)}`);
  }
  return lanes as PoolCode[];
}

function createOf(url: URL): boolean {
  const create = url.searchParams.get("create") ?? "false";
  if (create !== "true" && create !== "false") throw fault("has a create that is neither true nor false");
  return create === "true";
}

function isQueueName(name: string): boolean {
  return queueName.test(name) && name.length <= maxNameLength;
}

function fault(message: string): CodedError {
  return new CodedError("CONFIG_INVALID", { message: `the URL of the SQS queue ${message}` });
}
