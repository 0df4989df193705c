import { expect, test } from "bun:test";
import { notBuilt, refuse } from "./not-built.ts";
import { requireProcessConfig, type ProcessName as AnyProcess } from "./process-config.ts";

type ProcessName = Exclude<AnyProcess, "outbox">;
const facts = { isTerminal: false, hostName: "here", pid: 1 };
const postgres = { FC_DATABASE_URL: "postgres://db/fc", FC_APP_KEY: "x" };

async function faultsOf(name: ProcessName, env: Record<string, string>) {
  const { config, entries } = await requireProcessConfig(name, { env, facts });
  return notBuilt(config, entries);
}

const keysRefused = async (name: ProcessName, env: Record<string, string>): Promise<readonly string[]> =>
  (await faultsOf(name, env)).map(({ key }) => key);

test("what this build has is not refused", async () => {
  expect(await keysRefused("dev", {})).toEqual([]);
  expect(await keysRefused("dev", { FC_DATABASE_URL: "sqlite::memory:", FC_QUEUE_URL: "sqlite:./q.db" })).toEqual([]);
  const queues = [
    "sqlite:./q.db",
    "nats://broker",
    "sqs://eu-west-1/q",
    "amqp://broker",
    "sqlite:./q.db nats://broker",
  ];
  for (const queue of queues) expect(await keysRefused("router", { FC_QUEUE_URL: queue })).toEqual([]);
  const told = { FC_ROUTER_CONFIG_URL: "http://127.0.0.1:8080/api/config/router" };
  expect(await keysRefused("router", told)).toEqual([]);
  for (const name of ["platform", "stream", "scheduler", "router", "dev", "migrate"] as const) {
    expect(await keysRefused(name, postgres)).toEqual([]);
    expect(await keysRefused(name, { ...postgres, FC_QUEUE_URL: "postgres://queue/fc" })).toEqual([]);
  }
});

test("what this build does not have is refused, all of it at once, with the setting's name and place", async () => {
  const elsewhere = { FC_DATABASE_URL: "mongodb://db/fc", FC_QUEUE_URL: "nats://broker" };
  expect(await keysRefused("dev", elsewhere)).toEqual(["FC_DATABASE_URL"]);
  const faults = await faultsOf("dev", elsewhere);
  expect(faults.every(({ source }) => source !== "")).toBe(true);
  expect(() => refuse(faults)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  expect(() => refuse([])).not.toThrow();
});
