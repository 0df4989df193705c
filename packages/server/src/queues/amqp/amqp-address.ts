import { CodedError } from "@flowcatalyst/foundation";
import type { PoolCode } from "../../domain/ids.ts";
import { amqpQueueLimits } from "./amqp-limits.ts";

export type BrokerName = "activemq" | "rabbitmq";

/** What the URL of a queue says. */
export interface AmqpAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly user: string | null;
  readonly password: string | null;
  readonly queue: string;
  /** Lanes with a queue of their own, `QUEUE.LANE`. */
  readonly lanes: readonly PoolCode[];
  readonly dead: string;
  /** Messages that one question may have under way from the broker. */
  readonly credit: number;
  /** Null: the broker is asked. */
  readonly broker: BrokerName | null;
  readonly heartbeatSeconds: number;
}

const defaultQueue = "flowcatalyst";
const parameters = ["lanes", "dead", "credit", "broker", "heartbeat"];
const queueName = /^[A-Za-z0-9_.-]{1,200}$/;

/** `amqp://[user:password@]host[:port]/QUEUE?lanes=A,B&dead=NAME&credit=N&broker=activemq|rabbitmq&heartbeat=N` */
export function parseAmqpUrl(text: string): AmqpAddress {
  const url = URL.parse(text);
  if (url === null || !["amqp:", "amqps:"].includes(url.protocol) || url.hostname === "") {
    throw faulty("must look like amqp://user:password@host:5672/QUEUE");
  }
  // A password with a bare "/" or "?" ends the host early: half of it would be shown as the host or the queue.
  if (`${url.pathname}${url.search}${url.hash}`.includes("@") || url.hash !== "") {
    throw faulty('has an "@" or a "#" after its host; in a user or password, "/" is %2F, "?" is %3F and "#" is %23');
  }
  for (const key of url.searchParams.keys()) {
    if (!parameters.includes(key)) throw faulty(`has a parameter "${key}"; there are ${parameters.join(", ")}`);
  }
  const tls = url.protocol === "amqps:";
  const queue = named(decoded(url.pathname.replace(/^\//, "")) || defaultQueue);
  const lanes = (url.searchParams.get("lanes") ?? "").split(",").filter((lane) => lane !== "");
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? (tls ? 5671 : 5672) : Number(url.port),
    tls,
    user: url.username === "" ? null : decoded(url.username),
    password: url.password === "" ? null : decoded(url.password),
    queue,
    lanes: [...new Set(lanes)].map((lane) => named(lane) as PoolCode),
    dead: named(url.searchParams.get("dead") ?? `${queue}.dead`),
    credit: number(url, "credit", { fallback: amqpQueueLimits.credit, max: 10_000 }),
    broker: broker(url.searchParams.get("broker")),
    heartbeatSeconds: number(url, "heartbeat", { fallback: amqpQueueLimits.heartbeatSeconds, max: 60 }),
  };
}

function named(name: string): string {
  if (!queueName.test(name)) throw faulty(`names "${name}"; letters, digits, ".", "_" and "-" make a name here`);
  return name;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw faulty("has a % that is not followed by two hexadecimal digits");
  }
}

function number(url: URL, key: string, { fallback, max }: { fallback: number; max: number }): number {
  const text = url.searchParams.get(key);
  if (text === null) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) throw faulty(`needs a whole ${key} from 1 to ${max}`);
  return value;
}

function broker(text: string | null): BrokerName | null {
  if (text === null || text === "activemq" || text === "rabbitmq") return text;
  throw faulty(`has a broker "${text}"; there are activemq and rabbitmq`);
}

/** Never with the URL itself: it may hold a password. */
function faulty(what: string): CodedError {
  return new CodedError("CONFIG_INVALID", { message: `the address of the queue ${what}` });
}
