import type { Msg } from "@nats-io/transport-node";
import { z } from "zod";
import type { PublishResult } from "../../ports/queue.ts";
import { natsApiCodes } from "./nats-link.ts";

const noResponders = 503;

const pubAck = z.object({
  duplicate: z.boolean().optional(),
  seq: z.number().optional(),
  error: z.object({ err_code: z.number().optional(), description: z.string().optional() }).optional(),
});

/** What the server says to a publish. */
export function readPubAck(answer: Msg | null): PublishResult {
  if (answer === null) return { kind: "refused", detail: "no answer of NATS in time" };
  if (isNoResponders(answer)) return { kind: "refused", detail: "no NATS stream takes this, or it has no leader now" };
  const read = pubAck.safeParse(parsed(answer));
  if (!read.success) return { kind: "refused", detail: "an answer of NATS that cannot be read" };
  const { error, duplicate } = read.data;
  if (error === undefined) return { kind: duplicate === true ? "duplicate" : "published" };
  const detail = error.description ?? "NATS refuses it";
  if (error.err_code === natsApiCodes.messageTooLarge) return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail };
  return { kind: "refused", detail };
}

export function isNoResponders(answer: Msg): boolean {
  return answer.data.length === 0 && answer.headers?.code === noResponders;
}

function parsed(answer: Msg): unknown {
  try {
    return answer.json<unknown>();
  } catch {
    return null;
  }
}
