import { deliveryHeaderNames } from "@flowcatalyst/contracts";
import { isoTime, type Clock, type Service } from "@flowcatalyst/foundation";
import type { Announce } from "./process-context.ts";
import type { Transport, TransportRequest, TransportResult } from "../ports/transport.ts";

/** Lines a second; what is above is counted and told in one line, or a terminal would slow the deliveries down. */
export const deliveryLinesPerSecond = 20;

const tickMs = 1_000;

export interface DeliveryLines {
  /** Sends as the given one does, and prints a line for each answer. */
  readonly transport: Transport;
  /** Tells each second what was not printed. */
  readonly service: Service;
  /** Until then lines are kept back: what waited for a restart goes out before the start is told, and would hide it. */
  open(): void;
}

/** One printed line per delivery, for somebody who watches `flowcatalyst dev`. */
export function createDeliveryLines(
  inner: Transport,
  deps: { readonly clock: Clock; readonly announce: Announce },
): DeliveryLines {
  const { clock, announce } = deps;
  let room = deliveryLinesPerSecond;
  let untold = 0;
  let kept: (() => void)[] | null = [];
  const tell: Announce = (document, text) => {
    if (kept === null) announce(document, text);
    else kept.push(() => announce(document, text));
  };
  const observed = async (request: TransportRequest, signal: AbortSignal): Promise<TransportResult> => {
    const startedMs = clock.monotonicMs();
    const result = await inner.post(request, signal);
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    const nowMs = clock.now();
    tell({ kind: "delivery", at: isoTime(nowMs), ...factsOf(request, result), tookMs }, () => [
      onOneLine(`${timeOfDay(nowMs)}  ${describe(request)}  ${told(result)} in ${tookMs} ms`),
    ]);
    return result;
  };
  return {
    transport: {
      post(request, signal) {
        if (room > 0) {
          room -= 1;
          return observed(request, signal);
        }
        untold += 1;
        return inner.post(request, signal);
      },
    },
    service: {
      name: "delivery-lines",
      run: async (signal) => {
        while (!signal.aborted) {
          await clock.sleep(tickMs, signal);
          // Nor is there new room until then, so no more than one second's lines are ever kept.
          if (kept !== null) continue;
          const count = untold;
          if (count > 0) {
            const text = `${timeOfDay(clock.now())}  … and ${count.toLocaleString("en")} more deliveries`;
            announce({ kind: "moreDeliveries", at: isoTime(clock.now()), count }, () => [text]);
          }
          untold = 0;
          room = deliveryLinesPerSecond;
        }
      },
    },
    open() {
      const lines = kept ?? [];
      kept = null;
      for (const line of lines) line();
    },
  };
}

function factsOf({ url, headers }: TransportRequest, result: TransportResult): object {
  return {
    type: headers[deliveryHeaderNames.eventType] ?? null,
    url,
    attempt: Number(headers[deliveryHeaderNames.attempt] ?? 1),
    ...(result.kind === "response" ? { status: result.status } : { fault: told(result) }),
  };
}

function describe({ url, headers }: TransportRequest): string {
  const type = headers[deliveryHeaderNames.eventType] ?? headers[deliveryHeaderNames.webhookId] ?? "";
  const attempt = headers[deliveryHeaderNames.attempt] ?? "1";
  return attempt === "1" ? `${type} → ${url}` : `${type} → ${url}  attempt ${attempt}`;
}

function told(result: TransportResult): string {
  switch (result.kind) {
    case "response":
      return String(result.status);
    case "timeout":
      return "no answer";
    case "connectionFailed":
    case "tlsFailed":
      return `failed (${result.detail})`;
  }
}

/** Targets and types are other people's texts: what could end the line or steer the terminal is shown as an escape. */
function onOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Local time, as the terminal's user lives in it. */
function timeOfDay(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}
