import type { QueueConsumer, ReceivedMessage } from "../../ports/queue.ts";
import type { OpenQueue } from "../queue-at.ts";

/** The secret of stand-alone messages that name none, in `[secrets]` of the pools file. */
export const defaultSecretRef = "default";

/**
 * The queue as it is, but for stand-alone messages that name no secret: while `hasDefault` they name the default one.
 * What is put to the dead letters is as it was on the queue.
 */
export function signedByDefault(opened: OpenQueue, hasDefault: () => boolean): OpenQueue {
  const { queue } = opened;
  const receive: QueueConsumer["receive"] = async (request, signal) => {
    const batch = await queue.receive(request, signal);
    return hasDefault() ? batch.map(withDefaultSecret) : batch;
  };
  // Adapters keep their state in private fields, which only they themselves may touch.
  const signing = new Proxy(queue, {
    get(target, name) {
      if (name === "receive") return receive;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
  return { ...opened, queue: signing };
}

function withDefaultSecret(received: ReceivedMessage): ReceivedMessage {
  const { message } = received;
  if (message.kind !== "standalone" || message.secretRef !== null) return received;
  return { ...received, message: { ...message, secretRef: defaultSecretRef } };
}
