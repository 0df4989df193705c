import { Webhook } from "standardwebhooks";
import { Ledger, type LedgerSummary } from "./ledger.ts";

/**
 * A webhook receiver in the test's own process that keeps a ledger per target and verifies every signature with the
 * reference library. What it answers is decided per target by a function.
 */
export interface LedgerReceiver {
  readonly url: string;
  target(name: string, options?: TargetOptions): void;
  summary(name: string): LedgerSummary & { readonly badSignatures: number };
  delivered(): number;
  /** From now on signatures must be right, but may be of any time: the servers' clock is moved by the test. */
  ignoreTime(): void;
  stop(): Promise<void>;
}

const msPerSecond = 1_000;

export interface TargetOptions {
  /** Status for the n-th request (from 1) of this target, for an event of this group and place; 200 if absent. */
  readonly answer?: (request: { n: number; group: number; place: number }) => number;
  /** The subscription's secret; requests are checked against it once it is known. */
  readonly secret?: string;
  readonly ordered?: boolean;
  readonly delayMs?: number;
}

/**
 * Answers one request in so many with this status, but none twice for one event: after three failures in a row the
 * default retry policy waits a minute, which no test has time for.
 */
export function failingOnce(each: number, status: number): NonNullable<TargetOptions["answer"]> {
  const failed = new Set<string>();
  return ({ n, group, place }) => {
    const event = `${group}.${place}`;
    if (n % each !== 0 || failed.has(event)) return 200;
    failed.add(event);
    return status;
  };
}

interface Target {
  readonly ledger: Ledger;
  readonly options: TargetOptions;
  readonly webhook: Webhook | null;
  count: number;
  badSignatures: number;
}

export function startLedgerReceiver(): LedgerReceiver {
  const targets = new Map<string, Target>();
  let anyTime = false;
  const receive = async (request: Request): Promise<Response> => {
    const target = targets.get(new URL(request.url).pathname.slice(1));
    if (target === undefined) return new Response("", { status: 404 });
    const text = await request.text();
    const { g, n } = JSON.parse(text) as { g: number; n: number };
    target.count += 1;
    if (target.webhook !== null && !verifies(target.webhook, { text, headers: request.headers, anyTime })) {
      target.badSignatures += 1;
    }
    const status = target.options.answer?.({ n: target.count, group: g, place: n }) ?? 200;
    target.ledger.arrive(g, n, status < 300);
    if (target.options.delayMs !== undefined) await Bun.sleep(target.options.delayMs);
    return new Response("", { status });
  };
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: receive });
  const targetOf = (name: string): Target => {
    const target = targets.get(name);
    if (target === undefined) throw new Error(`no target ${name}`);
    return target;
  };
  return {
    url: `http://127.0.0.1:${server.port}`,
    target: (name, options = {}) => {
      const webhook = options.secret === undefined ? null : new Webhook(options.secret);
      const ledger = targets.get(name)?.ledger ?? new Ledger(options.ordered ?? true);
      targets.set(name, { ledger, options, webhook, count: 0, badSignatures: 0 });
    },
    ignoreTime: () => {
      anyTime = true;
    },
    summary: (name) => ({ ...targetOf(name).ledger.summary(), badSignatures: targetOf(name).badSignatures }),
    delivered: () => [...targets.values()].reduce((sum, target) => sum + target.ledger.delivered, 0),
    stop: () => server.stop(true),
  };
}

function verifies(webhook: Webhook, request: { text: string; headers: Headers; anyTime: boolean }): boolean {
  const id = request.headers.get("webhook-id") ?? "";
  const timestamp = request.headers.get("webhook-timestamp") ?? "";
  const signature = request.headers.get("webhook-signature") ?? "";
  if (request.anyTime) {
    const expected = webhook.sign(id, new Date(Number(timestamp) * msPerSecond), request.text);
    return signature.split(" ").includes(expected);
  }
  try {
    webhook.verify(request.text, {
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": signature,
    });
    return true;
  } catch {
    return false;
  }
}
