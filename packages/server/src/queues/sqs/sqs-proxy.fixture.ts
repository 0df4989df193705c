/** One request to SQS: what it asks for, and with what. */
export interface SqsRequest {
  /** `SendMessageBatch`. */
  readonly action: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Sends a request on, as it is or changed; gives back what SQS answers, `refusal` being the name of a fault. */
export type Forward = (body?: Readonly<Record<string, unknown>>) => Promise<Record<string, unknown>>;

/** Answers in place of SQS. */
export type Interference = (request: SqsRequest, forward: Forward) => Promise<Record<string, unknown>>;

export interface SqsProxy {
  readonly url: string;
  readonly requests: readonly SqsRequest[];
  /** From now on; by default everything is sent on. */
  interfere(how: Interference): void;
  stop(): Promise<void>;
}

const headers = { "content-type": "application/x-amz-json-1.0" };

/** Stands between an adapter and the emulator, for the faults that an emulator does not have. */
export function startSqsProxy(target: string): SqsProxy {
  const requests: SqsRequest[] = [];
  let how: Interference = (_request, forward) => forward();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    async fetch(incoming) {
      const action = (incoming.headers.get("x-amz-target") ?? "").replace("AmazonSQS.", "");
      const body = await bodyOf(incoming);
      requests.push({ action, body });
      const answer = await how({ action, body }, async (changed = body) => {
        const sent = { method: "POST", headers: incoming.headers, body: JSON.stringify(changed) };
        const answer = await fetch(target, sent);
        const answered = await bodyOf(answer);
        return answer.ok ? answered : { refusal: answered["__type"] };
      });
      const isRefused = "refusal" in answer;
      const text = JSON.stringify(isRefused ? { __type: answer["refusal"], message: "as the test wishes" } : answer);
      return new Response(text, { status: isRefused ? 400 : 200, headers });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    interfere: (wanted) => {
      how = wanted;
    },
    stop: () => server.stop(true),
  };
}

export interface Entry {
  readonly Id: string;
}

export function entriesOf({ body }: SqsRequest): readonly Entry[] {
  const entries = body["Entries"];
  return Array.isArray(entries) ? (entries as readonly Entry[]) : [];
}

async function bodyOf(message: Request | Response): Promise<Record<string, unknown>> {
  return (await message.json()) as Record<string, unknown>;
}
