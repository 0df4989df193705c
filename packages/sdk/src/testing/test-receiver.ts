import type { Refusal, SecretSource } from "../webhooks/verify-webhook.ts";
import { webhookHandler, type WebhookAnswer } from "../webhooks/webhook-handler.ts";
import type { Webhook } from "../webhooks/webhook.ts";

/** A receiver in memory, which verifies what it gets and keeps it. */
export interface TestReceiver {
  /** Takes a request, as a server would. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** What verified, in the order in which it came. */
  readonly received: readonly Webhook[];
  /** What did not. */
  readonly refused: readonly Refusal[];
  /** Waits for the first webhook that no call of `next` has given yet. */
  next(): Promise<Webhook>;
  /** Answers the next webhook so, then goes on as before. May be called several times in a row. */
  answerNext(answer: WebhookAnswer): void;
}

/** Makes a receiver. */
export function createTestReceiver(options: { readonly secrets: SecretSource }): TestReceiver {
  const received: Webhook[] = [];
  const refused: Refusal[] = [];
  const answers: WebhookAnswer[] = [];
  const waiting: ((webhook: Webhook) => void)[] = [];
  const unseen: Webhook[] = [];
  const fetch = webhookHandler(
    { secrets: options.secrets, onRefused: (refusal) => void refused.push(refusal) },
    (webhook) => {
      received.push(webhook);
      const waiter = waiting.shift();
      if (waiter === undefined) unseen.push(webhook);
      else waiter(webhook);
      return answers.shift();
    },
  );
  return {
    fetch,
    received,
    refused,
    next: () => {
      const webhook = unseen.shift();
      return webhook === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(webhook);
    },
    answerNext: (answer) => void answers.push(answer),
  };
}
