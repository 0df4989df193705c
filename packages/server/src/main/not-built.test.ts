import { expect, test } from "bun:test";
import { notBuiltForDev, notBuiltForRouter, refuse } from "./not-built.ts";
import { requireProcessConfig } from "./process-config.ts";

const facts = { isTerminal: false, hostName: "here", pid: 1 };

async function keysRefusedByDev(env: Record<string, string>): Promise<readonly string[]> {
  const { config, entries } = await requireProcessConfig("dev", { env, facts });
  return notBuiltForDev(config, entries).map(({ key }) => key);
}

async function keysRefusedByRouter(env: Record<string, string>): Promise<readonly string[]> {
  const { config, entries } = await requireProcessConfig("router", { env, facts });
  return notBuiltForRouter(config, entries).map(({ key }) => key);
}

test("what this build has is not refused", async () => {
  expect(await keysRefusedByDev({})).toEqual([]);
  expect(await keysRefusedByDev({ FC_DATABASE_URL: "sqlite::memory:", FC_QUEUE_URL: "sqlite:./q.db" })).toEqual([]);
  expect(await keysRefusedByRouter({ FC_QUEUE_URL: "sqlite:./q.db" })).toEqual([]);
});

test("what this build does not have is refused, all of it at once, with the setting's name and place", async () => {
  const elsewhere = { FC_DATABASE_URL: "postgres://db/fc", FC_QUEUE_URL: "nats://broker" };
  expect(await keysRefusedByDev(elsewhere)).toEqual(["FC_DATABASE_URL", "FC_QUEUE_URL"]);
  const asked = { ...elsewhere, FC_ROUTER_CONFIG_URL: "http://127.0.0.1:8080/api/config/router" };
  expect(await keysRefusedByRouter(asked)).toEqual(["FC_DATABASE_URL", "FC_ROUTER_CONFIG_URL", "FC_QUEUE_URL"]);
  const { config, entries } = await requireProcessConfig("dev", { env: elsewhere, facts });
  const faults = notBuiltForDev(config, entries);
  expect(faults.every(({ source }) => source !== "")).toBe(true);
  expect(() => refuse(faults)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  expect(() => refuse([])).not.toThrow();
});
