/**
 * The webhook receiver of the benchmarks: its own process, answers at once, keeps the ledger.
 *
 * Paths: `/ok/<name>` answers 200; `/flaky/<name>` answers every 20th new event 500 once; `/dead/<name>` answers 500
 * always; `/hang/<name>` never answers; `/free/<name>` keeps no order; `/counted/<name>` demands none and counts what
 * was overtaken; `/yard` keeps no ledger. While `down`, all of them answer 503. Control, on a port of its own:
 * `GET /ledger`, `POST /down`, `POST /up`, `POST /reset`.
 */
import { LatencyHistogram, Ledger } from "../harness/ledger.ts";

interface BenchBody {
  readonly g: number;
  readonly n: number;
  /** Scheduled time, epoch ms with fractions; 0: not measured. */
  readonly t: number;
}

const ledgers = new Map<string, Ledger>();
const latencies = new Map<string, LatencyHistogram>();
const flakyDone = new Set<string>();
/** By path, of each group the highest place that has arrived. */
const highest = new Map<string, number[]>();
const overtaken = new Map<string, number>();
let yardCount = 0;
let down = false;
let firstUpAt = 0;

const server = Bun.serve({
  port: 0,
  hostname: "0.0.0.0",
  idleTimeout: 0,
  fetch(request) {
    return receive(request);
  },
});

const control = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/down") down = true;
    if (path === "/up") {
      down = false;
      firstUpAt = 0;
    }
    if (path === "/reset") {
      ledgers.clear();
      latencies.clear();
      highest.clear();
      overtaken.clear();
      yardCount = 0;
      firstUpAt = 0;
    }
    if (path === "/count") return Response.json({ delivered: total(), yardCount });
    return Response.json({
      delivered: total(),
      yardCount,
      firstUpAt,
      targets: Object.fromEntries([...ledgers].map(([name, ledger]) => [name, ledger.summary()])),
      overtaken: Object.fromEntries(overtaken),
      latencies: Object.fromEntries([...latencies].map(([name, histogram]) => [name, histogram.summary()])),
    });
  },
});

console.log(JSON.stringify({ port: server.port, controlPort: control.port }));

async function receive(request: Request): Promise<Response> {
  const url = request.url;
  const path = url.slice(url.indexOf("/", 8) + 1);
  const text = await request.text();
  if (path === "yard") {
    yardCount += 1;
    return new Response("");
  }
  const body = JSON.parse(text) as BenchBody;
  if (down) return new Response("", { status: 503 });
  if (firstUpAt === 0) firstUpAt = Date.now();
  if (path.startsWith("hang/")) return new Promise<Response>(() => {});
  const accept = accepts(path, body);
  const ledger = ledgerOf(path);
  const before = ledger.delivered;
  ledger.arrive(body.g, body.n, accept);
  if (path.startsWith("counted/") && ledger.delivered > before) noteOrder(path, body);
  if (!accept) return new Response("", { status: 500 });
  if (body.t > 0) histogramOf(path).add(performance.timeOrigin + performance.now() - body.t);
  return new Response("");
}

function accepts(path: string, body: BenchBody): boolean {
  if (path.startsWith("dead/")) return false;
  if (!path.startsWith("flaky/") || body.n % 20 !== 0) return true;
  const key = `${path}:${body.g}:${body.n}`;
  if (flakyDone.delete(key)) return true;
  flakyDone.add(key);
  return false;
}

/** A message that arrives for the first time after a later one of its group was overtaken. */
function noteOrder(path: string, { g, n }: BenchBody): void {
  const places = highest.get(path) ?? [];
  highest.set(path, places);
  if (n < (places[g] ?? 0)) overtaken.set(path, (overtaken.get(path) ?? 0) + 1);
  else places[g] = n;
}

function ledgerOf(path: string): Ledger {
  let ledger = ledgers.get(path);
  if (ledger === undefined) {
    ledger = new Ledger(!["free/", "counted/", "dead/"].some((unordered) => path.startsWith(unordered)));
    ledgers.set(path, ledger);
  }
  return ledger;
}

function histogramOf(path: string): LatencyHistogram {
  const name = path.startsWith("ok/healthy") ? "healthy" : "all";
  let histogram = latencies.get(name);
  if (histogram === undefined) {
    histogram = new LatencyHistogram();
    latencies.set(name, histogram);
  }
  return histogram;
}

function total(): number {
  let sum = 0;
  for (const ledger of ledgers.values()) sum += ledger.delivered;
  return sum;
}
