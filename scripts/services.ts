/**
 * Databases and brokers for tests, by `scripts/services`: installed from Debian's packages where they are missing,
 * started side by side as private instances on free ports of loopback with data in a temporary folder, and taken away
 * again. No service of the machine is started, stopped or used. services-known.ts has what each of them is.
 *
 * `run` has instances of its own for the time of one command, and gives the command's exit code. `start` leaves
 * instances behind, one of each for a user and checkout, and prints what a shell evaluates; a second `start` finds
 * them; `stop` removes them. What is known of them stands in a folder that only the user can write, beside theirs.
 */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { ServiceFault } from "../test/harness/private-service.ts";
import { installPackages } from "./debian-packages.ts";
import { ROOT } from "./run-command.ts";
import { allNames, type Instance, type Service, type ServiceName, services } from "./services-known.ts";

const usageExitCode = 2;

const usage = `usage: scripts/services start [NAME...]            eval "$(scripts/services start)"
       scripts/services run [NAME...] -- COMMAND...  for the time of one command
       scripts/services status
       scripts/services stop
       scripts/services install [NAME...]
NAME: ${allNames.join(", ")}; all of them if none is named. start and run set, for each of them,
${Object.values(services)
  .map(({ variable }) => `  ${variable}`)
  .join("\n")}
and FC_TEST_REQUIRE, by which a test that does not find its service fails instead of being skipped.`;

const progress = (line: string): void => console.error(`services: ${line}`);

async function main(args: readonly string[]): Promise<number> {
  const [action = "--help", ...rest] = args;
  if (action === "--help" || action === "-h") {
    console.log(usage);
    return args.length === 0 ? usageExitCode : 0;
  }
  const end = rest.indexOf("--");
  const named = end < 0 ? rest : rest.slice(0, end);
  const command = end < 0 ? [] : rest.slice(end + 1);
  const names = named.length === 0 ? allNames : allNames.filter((name) => named.includes(name));
  const unknown = named.filter((name) => !allNames.some((known) => known === name));
  const misused = unknown.length > 0 || (action === "run") !== command.length > 0;
  if (misused) return misuse(unknown.length > 0 ? `no such service: ${unknown.join(", ")}` : `${action}: see usage`);
  switch (action) {
    case "start":
      return start(names);
    case "run":
      return runWith(names, command);
    case "status":
      return status();
    case "stop":
      return stop();
    case "install":
      await installMissing(names);
      return 0;
    default:
      return misuse(`no such action: ${action}`);
  }
}

function misuse(message: string): number {
  progress(message);
  console.error(usage);
  return usageExitCode;
}

async function installMissing(names: readonly ServiceName[]): Promise<void> {
  const missing = servicesNamed(names).filter((service) => !service.isInstalled());
  const packages = missing.filter((service) => !service.hasPackages()).flatMap((service) => service.packages);
  if (packages.length > 0) await installPackages([...new Set(packages)], progress);
  for (const service of missing) {
    await service.fetchRest?.(progress);
    if (!service.isInstalled()) throw new ServiceFault(`${service.title} is installed, and too old or not found`);
  }
}

function servicesNamed(names: readonly ServiceName[]): readonly Service[] {
  return names.map((name) => services[name]);
}

async function start(names: readonly ServiceName[]): Promise<number> {
  await installMissing(names);
  const started = await Promise.allSettled(names.map(startUnlessRunning));
  for (const result of started) if (result.status === "rejected") throw result.reason;
  printVariables(names);
  return 0;
}

async function startUnlessRunning(name: ServiceName): Promise<void> {
  const known = readKnown(name);
  if (known !== null && (await services[name].answers(known))) progress(`${name} ${known.version} runs already`);
  else await startAndNote(name, known);
}

async function startAndNote(name: ServiceName, gone: Instance | null): Promise<void> {
  if (gone !== null) await forget(name, gone);
  progress(`starting ${name}`);
  const instance = await services[name].create(true);
  const { url, version, folder } = instance;
  try {
    // Two starts at a time: who comes second takes his own away and uses the first one's.
    writeFileSync(notePath(name), JSON.stringify({ url, version, folder }), { mode: 0o600, flag: "wx" });
    progress(`${name} ${version} runs, data in ${folder.path}`);
  } catch (error) {
    await instance.remove();
    if (readKnown(name) === null) throw error;
  }
}

function printVariables(names: readonly ServiceName[]): void {
  for (const name of names) console.log(`export ${services[name].variable}=${readKnown(name)?.url ?? ""}`);
  console.log(`export FC_TEST_REQUIRE=${names.join(",")}`);
}

async function runWith(names: readonly ServiceName[], command: readonly string[]): Promise<number> {
  await installMissing(names);
  progress(`starting ${names.join(", ")}`);
  const created = await Promise.allSettled(names.map((name) => services[name].create(false)));
  try {
    const variables: Record<string, string> = { FC_TEST_REQUIRE: names.join(",") };
    for (const [index, result] of created.entries()) {
      if (result.status === "rejected") throw result.reason;
      const name = names[index];
      if (name !== undefined) variables[services[name].variable] = result.value.url;
    }
    return await runCommand(command, { ...process.env, ...variables });
  } finally {
    const running = created.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    await Promise.all(running.map((instance) => instance.remove()));
    progress("stopped");
  }
}

/** Its exit code; 128 and the number of the signal if one ended it. Signals sent to us are for it. */
async function runCommand(command: readonly string[], env: Record<string, string | undefined>): Promise<number> {
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn([...command], { env, stdio: ["inherit", "inherit", "inherit"] });
  } catch {
    progress(`cannot run ${command[0]}`);
    return 127;
  }
  // A terminal sends its interrupt to both; this one only has to stay until the command has ended.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  const exitCode = await child.exited;
  const signals: Readonly<Record<string, number>> = constants.signals;
  return child.signalCode === null ? exitCode : 128 + (signals[child.signalCode] ?? 0);
}

async function status(): Promise<number> {
  for (const name of allNames) {
    const known = readKnown(name);
    const runs = known !== null && (await services[name].answers(known));
    const state = runs ? `${known.version} ${known.url}` : known === null ? "not started" : "does not answer";
    const installed = services[name].isInstalled() ? "" : " (not installed)";
    console.log(`${name.padEnd(9)} ${state}${installed}`);
  }
  return 0;
}

async function stop(): Promise<number> {
  for (const name of allNames) {
    const known = readKnown(name);
    if (known === null) continue;
    await forget(name, known);
    progress(`${name} stopped`);
  }
  rmSync(dirname(notePath("postgres")), { recursive: true, force: true });
  return 0;
}

async function forget(name: ServiceName, instance: Instance): Promise<void> {
  await services[name].stop(instance);
  rmSync(notePath(name), { force: true });
}

function readKnown(name: ServiceName): Instance | null {
  try {
    return JSON.parse(readFileSync(notePath(name), "utf8")) as Instance;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Passwords stand there: the folder must be the user's own, for its name can be guessed. */
function notePath(name: ServiceName): string {
  const { uid } = userInfo();
  const checkout = createHash("sha256").update(ROOT).digest("hex").slice(0, 8);
  const folder = join(tmpdir(), `flowcatalyst-services-${uid}-${checkout}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || (uid >= 0 && found.uid !== uid)) throw new ServiceFault(`${folder} is somebody else's`);
  return join(folder, `${name}.json`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof ServiceFault)) throw error;
  progress(error.message);
  process.exitCode = 1;
}
