import {
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * What private instances of services have in common: a folder of their own, an account that is not root,
 * a log, and an end with the process that started them. Nothing here touches an instance that somebody else started.
 */
export interface ServiceFolder {
  readonly path: string;
  /** Who runs the server: null is whoever runs this. */
  readonly account: string | null;
}

export interface LaunchOptions {
  readonly folder: ServiceFolder;
  readonly logPath: string;
  /** The server goes on when this process has ended. Else it ends with it, by `endSignal`, where Linux can do that. */
  readonly outlives: boolean;
  readonly endSignal: "INT" | "TERM";
  /** Beside PATH and the language of messages; nothing else of ours is handed on. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A service that is not there, or does not start; the message is one line, for whoever runs the command. */
export class ServiceFault extends Error {}

/** Root starts servers as the account that comes with their package, if one does; anybody else as himself. */
export function makeServiceFolder(name: string, account: string | null): ServiceFolder {
  const path = mkdtempSync(join(tmpdir(), `flowcatalyst-${name}-`));
  if (account === null || process.getuid?.() !== 0) return { path, account: null };
  chownSync(path, idOf(account, "-u"), idOf(account, "-g"));
  return { path, account };
}

/** A file in the folder that the server reads, and nobody but its account. */
export function giveFile(folder: ServiceFolder, path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  const { uid, gid } = statSync(folder.path);
  chownSync(path, uid, gid);
}

/** A folder within it that the server writes to. */
export function giveFolder(folder: ServiceFolder, path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid, gid } = statSync(folder.path);
  chownSync(path, uid, gid);
}

export function removeServiceFolder(folder: ServiceFolder): void {
  rmSync(folder.path, { recursive: true, force: true });
}

/** Runs a tool of the service to its end, as the service's account. Gives what it printed; throws its last line. */
export function runAs(folder: ServiceFolder, command: readonly string[]): string {
  const ended = Bun.spawnSync(asAccount(folder.account, command), { cwd: folder.path, env: environment() });
  const output = `${ended.stdout.toString()}${ended.stderr.toString()}`;
  if (ended.exitCode !== 0) throw new ServiceFault(`${command[0]} failed: ${lastLine(output)}`);
  return output;
}

/** Starts a server, in a process group of its own: an interrupt of the terminal is for the command that uses it. */
export function launch(command: readonly string[], options: LaunchOptions): Bun.Subprocess {
  const bound = Bun.which("setpriv") !== null && !options.outlives;
  const tied = bound ? ["setpriv", `--pdeathsig=${options.endSignal}`, "--"] : [];
  const log = openSync(options.logPath, "a");
  try {
    const child = Bun.spawn(asAccount(options.folder.account, [...tied, ...command]), {
      cwd: options.folder.path,
      env: { ...environment(), ...options.environment },
      stdio: ["ignore", log, log],
      detached: bound || options.outlives,
    });
    if (options.outlives) child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

/** The line of a server's log that says why it does not start. */
export function faultInLog(logPath: string): string {
  const lines = readFileSync(logPath, "utf8").trimEnd().split("\n");
  return lines.findLast((line) => /FATAL|PANIC|[Ff]ailed|[Ee]rror/.test(line)) ?? lines.at(-1) ?? "";
}

function asAccount(account: string | null, command: readonly string[]): string[] {
  if (account === null) return [...command];
  return ["setpriv", `--reuid=${account}`, `--regid=${idOf(account, "-g")}`, "--clear-groups", "--", ...command];
}

function idOf(account: string, flag: "-u" | "-g"): number {
  const asked = Bun.spawnSync(["id", flag, account]);
  if (asked.exitCode !== 0) throw new ServiceFault(`root starts it as the user ${account}, and there is none`);
  return Number(asked.stdout.toString());
}

/** Messages in English, because some are read here. */
function environment(): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", LC_ALL: "C" };
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}
