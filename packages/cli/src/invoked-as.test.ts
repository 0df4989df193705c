import { expect, test } from "bun:test";
import { commandLineOf, startsService } from "./invoked-as.ts";

const argv = (...args: string[]): string[] => ["bun", "/$bunfs/root/flowcatalyst", ...args];

test("a service's name, of a link or of the file itself, puts its command first", () => {
  const link = { argv: argv("--host", "::1"), argv0: "./bin/fc-dev", execPath: "/opt/flowcatalyst" };
  expect(commandLineOf(link)).toEqual(["dev", "--host", "::1"]);
  const copy = { argv: argv(), argv0: "fc-router.exe", execPath: "/opt/fc-router.exe" };
  expect(commandLineOf(copy)).toEqual(["router"]);
  const renamed = { argv: argv("x"), argv0: "other", execPath: "/opt/fc-scheduler-server" };
  expect(commandLineOf(renamed)).toEqual(["scheduler", "x"]);
});

test("any other name changes nothing", () => {
  const plain = { argv: argv("events", "--json"), argv0: "flowcatalyst", execPath: "/opt/flowcatalyst" };
  expect(commandLineOf(plain)).toEqual(["events", "--json"]);
});

test("a service is recognised behind the program's own options", () => {
  for (const line of [
    "dev",
    "router --queue sqlite:q.db",
    "--json dev",
    "--url http://dev dev",
    "--token=x router",
    "platform",
    "stream",
    "scheduler",
    "outbox",
    "outbox --database sqlite:app.db",
  ]) {
    expect(startsService(line.split(" "))).toBe(true);
  }
  for (const line of ["", "--version", "events dev", "--url dev events", "publish router.started", "outbox status"]) {
    expect(startsService(line.split(" "))).toBe(false);
  }
});
