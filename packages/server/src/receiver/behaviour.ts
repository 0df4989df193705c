import { z } from "zod";
import type { Clock } from "@flowcatalyst/foundation";
import { receiverLimits } from "./receiver-limits.ts";

/** How a receiver was told to answer. */
export const behaviourSchema = z.strictObject({
  mode: z.enum(["ok", "fail", "hang", "delay", "notYet", "gone", "rateLimited"]),
  /** `fail`: what to answer. */
  status: z.int().min(400).max(599).optional(),
  /** `delay`: how long. */
  delayMs: z.int().min(0).max(receiverLimits.delayMaxMs).optional(),
  /** `notYet` and `rateLimited`: when to come again. */
  retryAfterSeconds: z.int().min(1).max(43_200).optional(),
  /** How many requests it applies to; all, if absent. */
  times: z.int().min(1).max(1_000_000).optional(),
});

export type Behaviour = z.infer<typeof behaviourSchema>;

export const ok: Behaviour = { mode: "ok" };

const defaultDelayMs = 1_000;

export async function behave(
  behaviour: Behaviour,
  context: { readonly clock: Clock; readonly signal: () => AbortSignal },
): Promise<Response> {
  const { retryAfterSeconds } = behaviour;
  switch (behaviour.mode) {
    case "ok":
      return Response.json({ ack: true });
    case "fail":
      return Response.json({ error: "told to fail" }, { status: behaviour.status ?? 500 });
    case "hang":
      await context.clock.sleep(receiverLimits.hangMaxMs, context.signal());
      return new Response(null, { status: 504 });
    case "delay":
      await context.clock.sleep(behaviour.delayMs ?? defaultDelayMs, context.signal());
      return Response.json({ ack: true });
    case "notYet":
      return Response.json({
        ack: false,
        ...(retryAfterSeconds === undefined ? {} : { delaySeconds: retryAfterSeconds }),
      });
    case "gone":
      return Response.json({ error: "told to be gone" }, { status: 410 });
    case "rateLimited": {
      const headers: Record<string, string> =
        retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
      return Response.json({ error: "told to limit the rate" }, { status: 429, headers });
    }
  }
}

/** What `behave` will answer, known before it does. */
export function statusOf(behaviour: Behaviour): number | "hung" {
  switch (behaviour.mode) {
    case "ok":
    case "delay":
    case "notYet":
      return 200;
    case "fail":
      return behaviour.status ?? 500;
    case "hang":
      return "hung";
    case "gone":
      return 410;
    case "rateLimited":
      return 429;
  }
}
