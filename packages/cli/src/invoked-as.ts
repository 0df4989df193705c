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

/**
 * The arguments of the command line, with the service's command first when the executable was called by its name.
 * `argv[0]` of a compiled executable is the name it was called by; run from source it is the runtime.
 */
export function commandLineOf(argv: readonly string[], execPath: string): readonly string[] {
  const args = argv.slice(2);
  const called = [argv[0] ?? "", execPath].map((path) => basename(path).replace(/\.exe$/, ""));
  for (const name of called) {
    const service = serviceByName[name];
    if (service !== undefined) return [service, ...args];
  }
  return args;
}
