/**
 * `listen`: a temporary subscription whose webhooks come to this process, which prints and forwards them.
 *
 * The subscription lives under a lease of 60 s that is renewed every 20 s. Ctrl-C archives it; a killed process leaves
 * it to run out. While the server is away the command stays and tries again; if the lease ran out in the meantime, a
 * new subscription is made, and says so. The server must be able to reach this machine's loopback, so it is for a
 * server on the same machine.
 *
 * What the forwarding target answers is what the server gets: its status, its body (which may say `ack: false`) and its
 * Retry-After. A target that cannot be reached is a 502, so the server tries again by the retry policy.
 */
import type { Command } from "commander";
import { withoutPasswords } from "@flowcatalyst/foundation";
import { FlowCatalystError, type Subscription } from "@flowcatalyst/sdk";
import { webAddress } from "../arguments.ts";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";
import { pause } from "../pause.ts";
import { oneLine } from "../terminal.ts";

interface ListenOptions {
  readonly forwardTo?: string;
  readonly types: readonly string[];
}

const leaseSeconds = 60;
const renewEveryMs = 20_000;
const retryEveryMs = 1_000;
const forwardTimeoutMs = 30_000;
const bodyShownChars = 200;
/** They belong to one connection, not to the webhook. */
const connectionHeaders = ["host", "content-length", "connection", "keep-alive", "transfer-encoding"] as const;
const answerHeaders = ["content-type", "retry-after"] as const;

export function addListenCommand(program: Command, environment: Environment): void {
  const listen = program
    .command("listen")
    .summary("receive webhooks here, and forward them")
    .description(
      "Makes a temporary subscription, prints each webhook that comes, and forwards it. Ctrl-C ends it.\n" +
        "With --json: one document per line, the first with the subscription and its secret.",
    )
    .option("-f, --forward-to <url>", "where to POST each webhook; only printed if absent", webAddress)
    .option("-t, --types <pattern...>", "event types or patterns", ["**"])
    .action((options: ListenOptions, command: Command) => run(contextOf(command, environment), options));
  withExamples(listen, [
    "flowcatalyst listen --forward-to http://127.0.0.1:3000/webhooks",
    "flowcatalyst listen --types 'order.*'",
  ]);
}

interface Session {
  readonly context: CommandContext;
  readonly options: ListenOptions;
  /** Where webhooks come in. */
  readonly targetUrl: string;
}

async function run(context: CommandContext, options: ListenOptions): Promise<void> {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: (request) => receive(request, { context, options }),
  });
  try {
    await listen({ context, options, targetUrl: `http://127.0.0.1:${server.port}/` });
  } finally {
    await server.stop(true);
  }
}

async function listen(session: Session): Promise<void> {
  const { signal, terminal, partingClient } = session.context;
  let subscription = await subscribe(session);
  while (!signal.aborted) {
    await pause(renewEveryMs, signal);
    if (!signal.aborted) subscription = await renew(session, subscription);
  }
  try {
    await partingClient.subscriptions.archive(subscription.id);
    if (!terminal.json) terminal.note(`${subscription.id} is archived`);
  } catch (error) {
    terminal.note(
      `${subscription.id} could not be archived (${messageOf(error)}); it ends by itself within ${leaseSeconds} s`,
    );
  }
}

async function subscribe({ context, options, targetUrl }: Session): Promise<Subscription> {
  const { client, terminal } = context;
  const subscription = await client.subscriptions.create({
    name: `listen-${crypto.randomUUID()}`,
    eventTypes: [...options.types],
    targetUrl,
    leaseSeconds,
  });
  const { secret } = await client.subscriptions.secret(subscription.id);
  const { types, forwardTo } = options;
  const to = forwardTo === undefined ? "" : `, forwarding to ${forwardTo}`;
  const text = `listening for ${types.join(", ")} as ${subscription.id}${to}; webhooks are signed with ${secret}`;
  if (terminal.json) terminal.answer({ kind: "listening", subscription, secret }, () => text);
  else terminal.note(text);
  return subscription;
}

/** Renews the lease, however long the server is away; gives the subscription that holds from then on. */
async function renew(session: Session, subscription: Subscription): Promise<Subscription> {
  const { client, terminal, signal } = session.context;
  let isGone = false;
  let saidAway = false;
  while (!signal.aborted) {
    try {
      return isGone
        ? await subscribe(session)
        : await client.subscriptions.renewLease(subscription.id, { leaseSeconds });
    } catch (error) {
      if (signal.aborted) break;
      const meaning = meaningOf(error, isGone);
      if (meaning === "fault") throw error;
      isGone ||= meaning === "gone";
      if (meaning === "gone") terminal.note(`the lease of ${subscription.id} has run out; subscribing again`);
      if (meaning === "away" && !saidAway) terminal.note(`${messageOf(error)}; trying again`);
      saidAway ||= meaning === "away";
      await pause(meaning === "away" ? retryEveryMs : 0, signal);
    }
  }
  return subscription;
}

function meaningOf(error: unknown, isGone: boolean): "gone" | "away" | "fault" {
  if (!(error instanceof FlowCatalystError)) return "fault";
  if (error.status === 0 || error.status >= 500 || error.status === 429) return "away";
  return !isGone && (error.status === 404 || error.status === 409) ? "gone" : "fault";
}

function messageOf(error: unknown): string {
  // The runtime's own words for a refused connection end in a question to a browser's user.
  return (error instanceof Error ? error.message : String(error)).replace(/: Unable to connect\..*$/, "");
}

async function receive(
  request: Request,
  given: { context: CommandContext; options: ListenOptions },
): Promise<Response> {
  const { terminal } = given.context;
  const body = await request.text();
  const type = request.headers.get("x-flowcatalyst-event-type") ?? "";
  const eventId = request.headers.get("x-flowcatalyst-event-id") ?? "";
  const { answer, fault } = await forward(given.options.forwardTo, { headers: request.headers, body });
  const { status } = answer;
  const headers = Object.fromEntries(request.headers);
  const document = { kind: "webhook", eventId, type, status, ...(fault === null ? {} : { fault }), headers, body };
  terminal.answer(document, () => {
    const at = new Date().toISOString();
    const shown = oneLine(fault ?? body.slice(0, bodyShownChars));
    return `${at}  ${type}  ${eventId}  ${terminal.paint(status < 300 ? "green" : "red", `-> ${status}`)}  ${shown}`;
  });
  return answer;
}

interface Forwarded {
  readonly answer: Response;
  /** Why there was no answer. */
  readonly fault: string | null;
}

async function forward(
  url: string | undefined,
  webhook: { readonly headers: Headers; readonly body: string },
): Promise<Forwarded> {
  if (url === undefined) return { answer: new Response(), fault: null };
  const headers = new Headers(webhook.headers);
  for (const name of connectionHeaders) headers.delete(name);
  try {
    const signal = AbortSignal.timeout(forwardTimeoutMs);
    const response = await fetch(url, { method: "POST", headers, body: webhook.body, redirect: "manual", signal });
    const passedOn = answerHeaders.flatMap((name): [string, string][] => {
      const value = response.headers.get(name);
      return value === null ? [] : [[name, value]];
    });
    const body = await response.arrayBuffer();
    const isBodiless = response.status === 204 || response.status === 205 || response.status === 304;
    return {
      answer: new Response(isBodiless ? null : body, { status: response.status, headers: passedOn }),
      fault: null,
    };
  } catch (error) {
    const fault = `cannot forward to ${withoutPasswords(url)}: ${messageOf(error)}`;
    return { answer: new Response(fault, { status: 502 }), fault };
  }
}
