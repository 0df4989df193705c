import { existsSync, rmSync, writeFileSync } from "node:fs";
import { ServiceFault } from "../test/harness/private-service.ts";

/** Debian runs this before a package starts its service; exit code 101 forbids it. */
const policyFile = "/usr/sbin/policy-rc.d";
const installLimitMs = 5 * 60_000;

/**
 * Installs packages by apt-get, as root or by sudo without a password, and starts none of the services they bring.
 * Lists of packages are fetched only if the first try fails: a machine may have them, and no way to fetch.
 */
export async function installPackages(names: readonly string[], progress: (line: string) => void): Promise<void> {
  const byHand = `as root: apt-get install ${names.join(" ")}`;
  if (Bun.which("apt-get") === null) throw new ServiceFault(`there is no apt-get to install ${names.join(" ")} with`);
  const prefix = await administrator();
  if (prefix === null) throw new ServiceFault(`${names.join(" and ")} not installed; ${byHand}`);
  const install = [...prefix, "apt-get", "install", "-y", "--no-install-recommends", ...names];
  progress(`installing ${names.join(" ")} (apt-get)`);
  const wasForbidden = existsSync(policyFile);
  if (!wasForbidden) await forbidServiceStarts(prefix);
  try {
    if ((await run(install)).exitCode === 0) return;
    progress("fetching the lists of packages (apt-get update)");
    const update = await run([...prefix, "apt-get", "update"]);
    const again = await run(install);
    if (again.exitCode === 0) return;
    const reason = faultLine(again.output) ?? faultLine(update.output) ?? "apt-get failed";
    throw new ServiceFault(`${reason}; ${byHand}`);
  } finally {
    if (!wasForbidden) await run([...prefix, "rm", "-f", policyFile]);
  }
}

/** What to put before a command so that it may install; null: nothing does. */
async function administrator(): Promise<readonly string[] | null> {
  if (process.getuid?.() === 0) return [];
  if (Bun.which("sudo") === null || (await run(["sudo", "-n", "true"])).exitCode !== 0) return null;
  return ["sudo", "-n"];
}

async function forbidServiceStarts(prefix: readonly string[]): Promise<void> {
  const script = "#!/bin/sh\nexit 101\n";
  if (prefix.length === 0) {
    writeFileSync(policyFile, script, { mode: 0o755, flag: "wx" });
    return;
  }
  const command = `printf '%s' '${script}' > ${policyFile} && chmod 755 ${policyFile}`;
  const made = await run([...prefix, "sh", "-c", command]);
  if (made.exitCode !== 0) rmSync(policyFile, { force: true });
}

async function run(command: readonly string[]): Promise<{ exitCode: number; output: string }> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: installLimitMs,
  });
  const [out, error] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, output: `${out}${error}` };
}

function faultLine(output: string): string | undefined {
  return output.split("\n").findLast((line) => line.startsWith("E: "));
}
