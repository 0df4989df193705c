#!/usr/bin/env node
// The npm entry of FlowCatalyst: a small Node launcher that starts the product under Bun.
//
// npm can only promise Node, the product runs on Bun, and Bun arrives as an npm dependency. So this file finds that
// binary, starts packages/cli/src/main.ts with it, passes on signals, and ends as the child ended: with its exit code,
// or 128 + n when signal n ended it.
//
// Called by one of the service names below (npm links them to this file) it puts the service's command first.
// npm's shims on Windows do not pass on the name, so there one types `flowcatalyst dev` instead of `fc-dev`.
//
// Signals. SIGTERM is always forwarded. SIGINT and SIGHUP come from a terminal to the whole foreground group, so the
// child has them already; a second one would read as "stop at once". They are forwarded only without a terminal.
//
// SIGKILL of the launcher: Bun's --no-orphans ends the child then. It does so on Linux and macOS; on Windows a killed
// launcher leaves its child running. Processes above the launcher (npm, a shell) are outside its reach.

import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SERVICE_BY_NAME = {
  "fc-dev": "dev",
  "fc-platform-server": "platform",
  "fc-stream-processor": "stream",
  "fc-scheduler-server": "scheduler",
  "fc-router": "router",
  "fc-outbox-processor": "outbox",
};

/** Outgoing requests Bun runs at once in one process; its default of 256 would cap the router. Bun refuses > 65,336. */
const MAX_HTTP_REQUESTS = "8192";
/** The `bun` package holds a text placeholder of this name until its install script has run. */
const SMALLEST_BINARY_BYTES = 1_000_000;
const EXIT_CANNOT_START = 1;
const EXIT_SIGNAL_BASE = 128;

function candidates() {
  const require = createRequire(import.meta.url);
  const found = [];
  for (const [name, files] of [
    ["bun", ["bun.exe", "bun"]],
    [`@oven/bun-${platformName()}`, ["bun.exe", "bun"]],
    [`@oven/bun-${platformName()}-musl`, ["bun"]],
  ]) {
    try {
      const folder = dirname(require.resolve(`${name}/package.json`));
      found.push(...files.map((file) => join(folder, "bin", file)));
    } catch {
      // That package is not for this platform; the next one may be.
    }
  }
  return found;
}

function platformName() {
  const system = process.platform === "win32" ? "windows" : process.platform;
  return `${system}-${process.arch === "arm64" ? "aarch64" : process.arch}`;
}

function findBun() {
  return candidates().find((path) => existsSync(path) && statSync(path).size > SMALLEST_BINARY_BYTES);
}

function launch(bun) {
  const service = SERVICE_BY_NAME[basename(process.argv[1] ?? "").replace(/\.(cmd|exe|mjs)$/, "")];
  const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const args = ["--no-orphans", "--no-env-file", main, ...(service ? [service] : []), ...process.argv.slice(2)];
  const env = { ...process.env };
  env.BUN_CONFIG_MAX_HTTP_REQUESTS ??= MAX_HTTP_REQUESTS;

  const child = spawn(bun, args, { stdio: "inherit", env });
  const hasTerminal = process.stdin.isTTY === true;
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  for (const signal of ["SIGINT", "SIGHUP"]) {
    process.on(signal, () => hasTerminal || child.kill(signal));
  }
  child.on("error", (error) => fail(`cannot start ${bun}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exit(code ?? EXIT_SIGNAL_BASE + (constants.signals[signal] ?? 0));
  });
}

function fail(message) {
  process.stderr.write(`flowcatalyst: ${message}\n`);
  process.exit(EXIT_CANNOT_START);
}

const bun = findBun();
if (bun === undefined) {
  fail("the bun runtime is not installed; run `npm ci` without --ignore-scripts and --omit=optional");
} else {
  launch(bun);
}
