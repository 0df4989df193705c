import { basename } from "node:path";

/** The one executable starts another service when it is called by that service's name. */
const serviceByName: Readonly<Record<string, string>> = {
  "fc-dev": "dev",
  "fc-platform-server": "platform",
  "fc-stream-processor": "stream",
  "fc-scheduler-server": "scheduler",
  "fc-router": "router",
  "fc-outbox-processor": "outbox",
};

/** Options of the program itself that take a value and may stand before the command. */
const valueOptions: ReadonlySet<string> = new Set(["--url", "--token"]);

/** What a process knows of how it was called. */
export interface Invocation {
  readonly argv: readonly string[];
  /** The name it was called by: of a symbolic link, the link's. */
  readonly argv0: string;
  /** The file itself: of a symbolic link, what it points to. */
  readonly execPath: string;
}

/**
 * The arguments of the command line, with the service's command first when the executable was called by its name, be
 * it a link's or the file's own. Run from source both names are the runtime's, which is no service.
 */
export function commandLineOf(invocation: Invocation): readonly string[] {
  const args = invocation.argv.slice(2);
  const called = [invocation.argv0, invocation.execPath].map((path) => basename(path).replace(/\.exe$/, ""));
  for (const name of called) {
    const service = serviceByName[name];
    if (service !== undefined) return [service, ...args];
  }
  return args;
}

/** Services that go on running in this process. */
const services: ReadonlySet<string> = new Set(["platform", "stream", "scheduler", "router", "outbox", "dev"]);

/** Of `outbox`, which starts the processor without one. They end by themselves. */
export const outboxActs = ["init", "status", "list", "pause", "resume", "skip", "retry"] as const;

/** Whether a command line starts a service that goes on running in this process. */
export function startsService(args: readonly string[]): boolean {
  let at = 0;
  while (args[at]?.startsWith("-") === true) at += valueOptions.has(args[at] ?? "") ? 2 : 1;
  const name = args[at] ?? "";
  if (name === "outbox" && outboxActs.some((act) => args.includes(act, at))) return false;
  return services.has(name);
}
