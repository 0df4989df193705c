import { deliveryHeaderNames, headerNames } from "@flowcatalyst/contracts";
import type { Clock, Service } from "@flowcatalyst/foundation";
import type { Transport, TransportRequest, TransportResult } from "../ports/transport.ts";

/** Lines a second; what is above is counted and told in one line, or a terminal would slow the deliveries down. */
export const deliveryLinesPerSecond = 20;

const tickMs = 1_000;

export interface DeliveryLines {
  /** Sends as the given one does, and prints a line for each answer. */
  readonly transport: Transport;
  /** Tells each second what was not printed. */
  readonly service: Service;
}

/** One printed line per delivery, for somebody who watches `flowcatalyst dev`. */
export function createDeliveryLines(
  inner: Transport,
  deps: { readonly clock: Clock; readonly print: (line: string) => void },
): DeliveryLines {
  const { clock, print } = deps;
  let room = deliveryLinesPerSecond;
  let untold = 0;
  const observed = async (request: TransportRequest, signal: AbortSignal): Promise<TransportResult> => {
    const startedMs = clock.monotonicMs();
    const result = await inner.post(request, signal);
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    print(`${timeOfDay(clock.now())}  ${describe(request)}  ${told(result)} in ${tookMs} ms`);
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
          if (untold > 0) print(`${timeOfDay(clock.now())}  … and ${untold.toLocaleString("en")} more deliveries`);
          untold = 0;
          room = deliveryLinesPerSecond;
        }
      },
    },
  };
}

function describe({ url, headers }: TransportRequest): string {
  const type = headers[deliveryHeaderNames.eventType] ?? headers[headerNames.contentType] ?? "";
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

/** Local time, as the terminal's user lives in it. */
function timeOfDay(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}
