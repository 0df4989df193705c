import type { Command } from "commander";
import type { SubscriptionOut } from "@flowcatalyst/contracts";
import { contextOf, withExamples, type CommandContext, type Environment } from "../context.ts";

interface ListenOptions {
  readonly forwardTo?: string;
  readonly types: readonly string[];
}

const leaseSeconds = 60;
const renewEveryMs = 20_000;
const forwardTimeoutMs = 30_000;

/**
 * `listen`: a temporary subscription whose webhooks come to this process, which prints and forwards them.
 *
 * The subscription lives under a lease of 60 s that is renewed every 20 s. Ctrl-C archives it; a killed process leaves
 * it to run out. The server must be able to reach this machine's loopback, so it is for a server on the same machine.
 */
export function addListenCommand(program: Command, environment: Environment): void {
  const listen = program
    .command("listen")
    .summary("receive webhooks here, and forward them")
    .description("Makes a temporary subscription, prints each webhook that comes, and forwards it. Ctrl-C ends it.")
    .option("-f, --forward-to <url>", "where to POST each webhook; only printed if absent")
    .option("-t, --types <pattern...>", "event types or patterns", ["**"])
    .action(async (options: ListenOptions, command: Command) => {
      const context = contextOf(command, environment);
      await run(context, options);
    });
  withExamples(listen, [
    "flowcatalyst listen --forward-to http://127.0.0.1:3000/webhooks",
    "flowcatalyst listen --types 'order.*' --json",
  ]);
}

async function run(context: CommandContext, options: ListenOptions): Promise<void> {
  const { client, terminal, signal } = context;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => receive(request, { context, options }),
  });
  try {
    const subscription = await client.subscriptions.create({
      name: `listen-${crypto.randomUUID()}`,
      eventTypes: [...options.types],
      targetUrl: `http://127.0.0.1:${server.port}/`,
      leaseSeconds,
    });
    const { secret } = await client.subscriptions.secret(subscription.id);
    const patterns = options.types.join(", ");
    terminal.note(`listening for ${patterns} as ${subscription.id}; webhooks are signed with ${secret}`);
    try {
      await keepLease(context, subscription);
    } finally {
      await client.subscriptions.archive(subscription.id);
    }
  } finally {
    await server.stop(true);
  }
  if (signal.aborted) terminal.note("the subscription is archived");
}

async function keepLease(context: CommandContext, subscription: SubscriptionOut): Promise<void> {
  while (!context.signal.aborted) {
    await abortableSleep(renewEveryMs, context.signal);
    if (!context.signal.aborted) await context.client.subscriptions.renewLease(subscription.id, leaseSeconds);
  }
}

async function receive(
  request: Request,
  given: { context: CommandContext; options: ListenOptions },
): Promise<Response> {
  const { terminal } = given.context;
  const body = await request.text();
  const type = request.headers.get("x-flowcatalyst-event-type") ?? "";
  const id = request.headers.get("x-flowcatalyst-event-id") ?? "";
  const answer = await forward(given.options.forwardTo, { headers: request.headers, body });
  const document = { eventId: id, type, status: answer.status, headers: Object.fromEntries(request.headers), body };
  terminal.answer(
    document,
    () => `${new Date().toISOString()}  ${type}  ${id}  -> ${answer.status}  ${body.slice(0, 200)}`,
  );
  return new Response(answer.body, { status: answer.status });
}

async function forward(
  url: string | undefined,
  webhook: { headers: Headers; body: string },
): Promise<{ status: number; body: string }> {
  if (url === undefined) return { status: 200, body: "" };
  const headers = new Headers(webhook.headers);
  for (const name of ["host", "content-length", "connection"]) headers.delete(name);
  try {
    const signal = AbortSignal.timeout(forwardTimeoutMs);
    const response = await fetch(url, { method: "POST", headers, body: webhook.body, redirect: "manual", signal });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    return {
      status: 502,
      body: `could not forward to ${url}: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

function abortableSleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const stop = (): void => {
      clearTimeout(timer);
      resolve();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
