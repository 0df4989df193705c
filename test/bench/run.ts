/**
 * Measures FlowCatalyst on this machine: `npm run bench -- <scenario> [options]`.
 *
 * Generator, system and receiver are separate processes on loopback. A run is VALID only if the receiver's ledger
 * closes: published equals delivered, nothing missing, no order inverted. An invalid run prints no throughput and exits
 * 1.
 */
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { queueNames } from "./bench-broker.ts";
import { machineLine, print } from "./report.ts";
import { backlog, hanging, latency } from "./scenarios-latency.ts";
import { outbox } from "./scenarios-outbox.ts";
import { startup } from "./scenarios-process.ts";
import { router } from "./scenarios-router.ts";
import { failing, fanout, groups, origins, pipeline, restart, subscriptions, type Scenario } from "./scenarios.ts";

const scenarios: Readonly<Record<string, Scenario>> = {
  pipeline,
  latency,
  fanout,
  subscriptions,
  groups,
  hanging,
  origins,
  failing,
  backlog,
  router,
  outbox,
  startup,
  restart,
};

const usage = `usage: npm run bench -- <scenario> [--short] [--seconds N] [--rate N] [--groups N] [--events N]
       [--data-bytes N] [--searching] [--store sqlite|postgres] [--services]
       [--queue ${Object.keys(queueNames).join("|")}]
       [--executable PATH] [--json FILE] [--profile] [--verbose]
scenarios: ${Object.keys(scenarios).join(" ")}`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      short: { type: "boolean", default: false },
      seconds: { type: "string" },
      rate: { type: "string" },
      groups: { type: "string" },
      events: { type: "string" },
      "data-bytes": { type: "string" },
      searching: { type: "boolean", default: false },
      store: { type: "string", default: "sqlite" },
      services: { type: "boolean", default: false },
      queue: { type: "string", default: "db" },
      executable: { type: "string" },
      json: { type: "string" },
      profile: { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const name = positionals[0] ?? "";
  const scenario = scenarios[name];
  if (scenario === undefined || positionals.length !== 1) {
    console.error(usage);
    return 2;
  }
  const refusal = refusalOf(name, values);
  if (refusal !== null) {
    console.error(refusal);
    return 2;
  }
  const report = await scenario({
    short: values.short,
    seconds: numberOf(values.seconds),
    rate: numberOf(values.rate),
    groups: numberOf(values.groups),
    events: numberOf(values.events),
    dataBytes: numberOf(values["data-bytes"]),
    searching: values.searching,
    store: values.store,
    services: values.services,
    queue: values.queue,
    executable: values.executable ?? null,
    profile: values.profile,
    verbose: values.verbose,
  });
  print(report);
  const line = machineLine(report, { store: values.store, queue: values.queue, services: values.services });
  if (values.json !== undefined) appendFileSync(values.json, `${line}\n`);
  return report.valid ? 0 : 1;
}

const onBrokers: readonly string[] = ["router", "pipeline", "groups", "restart"];

/** Null: the combination can be run. */
function refusalOf(scenario: string, values: { store: string; queue: string; services: boolean }): string | null {
  const { store, queue, services } = values;
  if (store !== "sqlite" && store !== "postgres") return `there is no ${store} store; sqlite and postgres are here`;
  if (queueNames[queue] === undefined) {
    return `there is no ${queue} queue; ${Object.keys(queueNames).join(", ")} are here`;
  }
  if (queue !== "db" && !onBrokers.includes(scenario)) return `${scenario} is measured with --queue db only`;
  if (services && store !== "postgres") return "services of their own need --store postgres";
  if (store === "postgres" && ["router", "outbox", "startup"].includes(scenario))
    return `${scenario} does not measure a store`;
  return null;
}

function numberOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`not a positive number: ${text}`);
  return value;
}

process.exit(await main());
