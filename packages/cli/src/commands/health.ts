import type { Command } from "commander";
import { CodedError, exitCodes, type HealthReport } from "@flowcatalyst/foundation";
import { contextOf, usageError, withExamples, type Environment } from "../context.ts";

const defaultMetricsPort = 9_090;
/** Less than what container engines give a health check (30 s), more than a check may take (2 s). */
const timeoutMs = 5_000;
const everyAddress: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/**
 * `health`: asks a service how it is, for health checks where there is no curl. FC_API_BASE_URL is not looked at: in
 * the environment of a service it names the platform, and what is asked for is the service itself.
 */
export function addHealthCommand(program: Command, environment: Environment): void {
  const health = program
    .command("health")
    .summary("ask a service on this machine whether it is ready")
    .description(
      "Asks a service for its health: the one on this machine by FC_METRICS_PORT (9090), or --url, which may be any " +
        "port of any service. Exits 0 when it is ready, 1 when it is not, 7 when nobody answers.",
    )
    .option("--live", "only whether it runs, not whether what it needs can be used")
    .action(async ({ live = false }: { live?: boolean }, command: Command) => {
      const { terminal, signal } = contextOf(command, environment);
      const { url } = command.optsWithGlobals<{ url?: string }>();
      const report = await ask(
        `${url ?? localUrl(environment)}`.replace(/\/+$/, ""),
        live ? "/q/live" : "/q/ready",
        signal,
      );
      terminal.answer(report, () => {
        if (report.checks.length === 0) return report.status;
        const rows = report.checks.map(({ name, status, data }) => [name, status, data?.["reason"] ?? data?.["role"]]);
        return `${report.status}\n${terminal.table(["CHECK", "STATUS", "REASON"], rows)}`;
      });
      process.exitCode = report.status === "UP" ? exitCodes.ok : exitCodes.failed;
    });
  withExamples(health, ["flowcatalyst health", "flowcatalyst health --live --url http://127.0.0.1:8080"]);
}

/** Where the service with this environment has its metrics port; one that is open on all addresses is asked here. */
function localUrl({ variables }: Environment): string {
  const host = variables["FC_HOST"] ?? "";
  const port = variables["FC_METRICS_PORT"] ?? "";
  const name = everyAddress.has(host) ? "127.0.0.1" : host;
  const url = `http://${name.includes(":") ? `[${name}]` : name}:${port === "" ? defaultMetricsPort : port}`;
  if (URL.canParse(url)) return url;
  throw usageError(`FC_HOST and FC_METRICS_PORT are no address: ${url}`);
}

async function ask(service: string, path: string, signal: AbortSignal): Promise<HealthReport> {
  const late = AbortSignal.timeout(timeoutMs);
  let text: string;
  try {
    const response = await fetch(service + path, { signal: AbortSignal.any([signal, late]) });
    text = await response.text();
  } catch (cause) {
    const message = late.aborted
      ? `${service} gives no answer within ${timeoutMs / 1_000} s`
      : `${service} is not reached`;
    throw new CodedError("SERVER_UNREACHABLE", { message, cause });
  }
  const report = reportOf(text);
  if (report !== null) return report;
  throw new CodedError("SERVER_UNREACHABLE", {
    message: `${service}${path} answers, but is no service of FlowCatalyst`,
  });
}

function reportOf(text: string): HealthReport | null {
  try {
    const report = JSON.parse(text) as Partial<HealthReport> | null;
    const isReport = (report?.status === "UP" || report?.status === "DOWN") && Array.isArray(report.checks);
    return isReport ? (report as HealthReport) : null;
  } catch {
    return null;
  }
}
