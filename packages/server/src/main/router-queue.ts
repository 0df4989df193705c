import { wireLimits } from "@flowcatalyst/contracts";
import type { QueueCapabilities } from "../ports/queue.ts";
import type { RouterQueue } from "../platform/platform-deps.ts";

/** Parameters that hold what opens a queue, or name the file of it on this machine (`creds` and `nkey` of NATS). */
const secretParameters: ReadonlySet<string> = new Set([
  "user",
  "password",
  "sslpassword",
  "token",
  "secret",
  "creds",
  "nkey",
]);
/** Parameters that say which queue it is; the others only say how it is used. */
const placeParameters: ReadonlySet<string> = new Set(["host", "hostaddr", "port", "region", "endpoint"]);

/** Parameters that say where a connection really goes, and how: drivers of PostgreSQL put `host` before the host. */
const lineParameter = /^(?:host|hostaddr|port|ssl.*|tls.*|ca|cert|key|uselibpqcompat)$/i;

/** An address in its parts; NATS names several hosts, which makes it no URL by the standard. */
interface Address {
  /** With `://`. */
  readonly scheme: string;
  /** With `@`; empty: there is none. */
  readonly userInfo: string;
  readonly hosts: string;
  /** With its `/`. */
  readonly path: string;
  readonly parameters: readonly string[];
}

const addressShape = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*@)?([^@/?#]*)(\/[^?#@]*)?(?:\?([^#]*))?$/i;

function addressOf(text: string): Address | null {
  const [, scheme, userInfo = "", hosts = "", path = "", query = ""] = addressShape.exec(text) ?? [];
  if (scheme === undefined) return null;
  return { scheme, userInfo, hosts, path, parameters: query.split("&").filter((parameter) => parameter !== "") };
}

/** A queue without an address: the store's own, and a file. */
const localShape = /^(db|sqlite):(?!\/\/)/;

/** Why a queue that an address has told of is not opened, without anything of it, for it may hold a password. */
export function toldQueueFault(queueUri: string, { opensFiles }: { readonly opensFiles: boolean }): string | null {
  // Whoever answers there could have files made and opened anywhere on this machine.
  if (/^sqlite:/i.test(queueUri)) {
    return opensFiles ? null : "is a file, and files are opened only from FC_QUEUE_URL: name a queue on the network";
  }
  if (addressOf(queueUri) !== null || localShape.test(queueUri)) return null;
  return "has an address that cannot be read: it must begin with a scheme and a host, as nats://host does";
}

function textOf({ scheme, userInfo, hosts, path, parameters }: Address): string {
  return scheme + userInfo + hosts + path + (parameters.length === 0 ? "" : `?${parameters.join("&")}`);
}

function isSecret(parameter: string): boolean {
  return secretParameters.has(nameOf(parameter));
}

/** As drivers read it, who decode names as well. */
function nameOf(parameter: string): string {
  return [...new URLSearchParams(parameter).keys()][0] ?? "";
}

/** A queue as `/api/config/router` tells routers of it: without user and password, which they have themselves. */
export function routerQueueOf(queueUrl: string): RouterQueue {
  const address = addressOf(queueUrl);
  const queueName = localShape.exec(queueUrl)?.[1] ?? /^([a-z][a-z0-9+.-]*):\/\//i.exec(queueUrl)?.[1] ?? "unreadable";
  // What is no address as we know them may have a password in any place.
  if (address === null) return { queueName, queueUri: localShape.test(queueUrl) ? queueUrl : "(unreadable)" };
  const parameters = address.parameters.filter((parameter) => !isSecret(parameter));
  return { queueName, queueUri: textOf({ ...address, userInfo: "", parameters }) };
}

/**
 * The same queue has the same key, whoever's user and password stand in its address, and however it is to be used. Not
 * to be told to anybody: of what is no address it is the text itself.
 */
export function queueKeyOf(queueUrl: string): string {
  const address = addressOf(queueUrl);
  if (address === null) return queueUrl;
  const parameters = address.parameters.filter((parameter) => placeParameters.has(nameOf(parameter))).toSorted();
  return textOf({ ...address, userInfo: "", parameters });
}

/** All of them, each with a name of its own, in the order given. */
export function routerQueuesOf(queueUrls: readonly string[]): readonly RouterQueue[] {
  const taken = new Set<string>();
  return queueUrls.map((queueUrl) => {
    const { queueName, queueUri } = routerQueueOf(queueUrl);
    return { queueName: untakenName(queueName, taken), queueUri };
  });
}

/** The name, with a number behind it if it is taken; it is taken from then on. */
export function untakenName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let number = 2; taken.has(name); number += 1) name = `${wanted}-${number}`;
  taken.add(name);
  return name;
}

/**
 * The address of a queue that somebody without secrets has told us of. Where it has no user, it gets that of the
 * setting's queue on the same host, if there is one: FC_QUEUE_URL is where a router is given what opens a broker.
 */
export function withOwnCredentials(queueUri: string, ownUrls: readonly string[]): string {
  const address = addressOf(queueUri);
  if (address === null || address.hosts === "" || address.userInfo !== "") return queueUri;
  const own = ownUrls.map(addressOf).find((candidate) => candidate !== null && isSameLine(candidate, address));
  if (own === undefined || own === null) return queueUri;
  const parameters = [...address.parameters.filter((each) => !isSecret(each)), ...own.parameters.filter(isSecret)];
  return textOf({ ...address, userInfo: own.userInfo, parameters });
}

/** Also of the same scheme and encryption: a password for a line that is encrypted is not for one that is not. */
function isSameLine(left: Address, right: Address): boolean {
  return (
    left.scheme.toLowerCase() === right.scheme.toLowerCase() &&
    left.hosts === right.hosts &&
    lineOf(left) === lineOf(right)
  );
}

function lineOf({ parameters }: Address): string {
  return parameters
    .filter((parameter) => !isSecret(parameter) && lineParameter.test(nameOf(parameter)))
    .toSorted()
    .join("&");
}

/** Of an address of HTTP: without user, password and query, which may be a signature that opens it. */
export function placeOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

/** What a message has beside the data of its event: target, headers, attributes. */
const envelopeMaxBytes = 32_768;
/** Data travels as a text within JSON, which doubles each quotation mark and backslash at the worst. */
const escapingFactor = 2;

/** How large the data of an event may be so that a message of one delivery is within the queue's limit. */
export function eventDataMaxBytesOf(queue: Pick<QueueCapabilities, "carriesReferences" | "maxMessageBytes">): number {
  const { eventDataMaxBytes } = wireLimits;
  if (queue.carriesReferences) return eventDataMaxBytes;
  return Math.min(eventDataMaxBytes, Math.floor((queue.maxMessageBytes - envelopeMaxBytes) / escapingFactor));
}
