/**
 * How many outgoing requests the process can have under way at once is fixed by the runtime when it starts: it reads
 * BUN_CONFIG_MAX_HTTP_REQUESTS before any of our code runs, and 256 holds if it is not there. A router with hanging
 * targets needs more. From source, the launcher in bin/ sets the variable. A compiled executable has nobody before it,
 * so a service that finds the variable missing starts itself once more with it.
 *
 * On Linux and macOS that replaces the process (execve): same process id, same files, nothing left behind, about 5 ms.
 * Windows has no such call; there the service runs as a child, and this process only passes on how it ended.
 */
const variable = "BUN_CONFIG_MAX_HTTP_REQUESTS";
/** As in bin/flowcatalyst.mjs: above what the router has in flight at most. Bun takes 65,535 and less. */
const maxHttpRequests = "8192";

export type RequestLimitStep =
  | { readonly kind: "go on" }
  /** The service has run in a process of its own, which ended with this code. */
  | { readonly kind: "ended"; readonly exitCode: number };

type Variables = Readonly<Record<string, string | undefined>>;

/** Sees to the limit, given the variables this process was started with. Does not return where it is replaced. */
export async function ensureRequestLimit(variables: Variables): Promise<RequestLimitStep> {
  if (!Bun.isStandaloneExecutable || variables[variable] !== undefined) return { kind: "go on" };
  const environment = { ...variables, [variable]: maxHttpRequests };
  const args = process.argv.slice(2);
  if (process.platform !== "win32") process.execve?.(process.execPath, [process.argv0, ...args], environment);
  return { kind: "ended", exitCode: await runAsChild(args, environment) };
}

function runAsChild(args: readonly string[], env: Variables): Promise<number> {
  const child = Bun.spawn([process.execPath, ...args], {
    argv0: process.argv0,
    env,
    stdio: ["inherit", "inherit", "inherit"],
  });
  // The console sends Ctrl+C to both; the child decides when it has stopped.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return child.exited;
}
