import rhea, { type Delivery, type EventContext, type Sender } from "rhea";

const acceptedCode = 0x24;

/** Says that the outcome has come. */
export function settleAccepted(delivery: Delivery): void {
  const { types } = rhea;
  delivery.update(true, types.described_nc(types.wrap_ulong(acceptedCode), types.wrap_list([])));
}

/** What a peer answers to a message that was sent to it. */
export type Verdict = (delivery: Delivery, queue: string, bytes: Buffer) => void;

export interface AmqpPeer {
  readonly url: string;
  verdict: Verdict;
  /** What comes of a receiver; without it nothing is answered. */
  onOutcome: (delivery: Delivery, outcome: string) => void;
  /** The link of who receives from this queue, as soon as there is one. */
  senderOf(queue: string): Promise<Sender>;
  close(): Promise<void>;
}

/**
 * Speaks AMQP 1.0 and does what a test says: rejects, keeps silent, answers late. Real brokers do so only when they are
 * full, or ill.
 */
export async function openAmqpPeer(): Promise<AmqpPeer> {
  const container = rhea.create_container({
    receiver_options: { autoaccept: false, credit_window: 0, autosettle: false },
    sender_options: { autosettle: false },
  });
  const senders = new Map<string, PromiseWithResolvers<Sender>>();
  const slot = (queue: string): PromiseWithResolvers<Sender> => {
    const found = senders.get(queue) ?? Promise.withResolvers<Sender>();
    senders.set(queue, found);
    return found;
  };
  const sockets = new Set<{ close(): void }>();
  container.on("connection_open", ({ connection }: EventContext) => void sockets.add(connection));
  container.on("disconnected", ({ connection }: EventContext) => void sockets.delete(connection));
  container.on("connection_error", () => undefined);
  container.on("error", () => undefined);
  container.on("receiver_open", ({ receiver }: EventContext) => {
    const queue = String(receiver?.target.address).replace(/^queue:\/\//, "");
    receiver?.on("message", ({ message, delivery }: EventContext) => {
      const content: unknown = Reflect.get(Object(message?.body), "content");
      if (delivery !== undefined) peer.verdict(delivery, queue, Buffer.isBuffer(content) ? content : Buffer.alloc(0));
    });
    receiver?.add_credit(1_000);
  });
  container.on("sender_open", ({ sender }: EventContext) => {
    const queue = String(sender?.source.address).replace(/^queue:\/\//, "");
    if (sender !== undefined) slot(queue).resolve(sender);
  });
  for (const event of ["accepted", "released", "modified"]) {
    container.on(event, ({ delivery, sender }: EventContext) => {
      if (delivery !== undefined && sender !== undefined) peer.onOutcome(delivery, event);
    });
  }
  const listening = Promise.withResolvers<void>();
  const server = container.listen({
    host: "127.0.0.1",
    port: 0,
  });
  server.on("listening", () => listening.resolve());
  await listening.promise;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const peer: AmqpPeer = {
    url: `amqp://127.0.0.1:${port}/q?broker=activemq`,
    verdict: (delivery) => delivery.accept(),
    onOutcome: settleAccepted,
    senderOf: (queue) => slot(queue).promise,
    close: () => {
      for (const socket of sockets) socket.close();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return peer;
}
