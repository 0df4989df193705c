import { CodedError, describeError, type Clock, type HealthResult } from "@flowcatalyst/foundation";
import { SQSClient, SQSServiceException, type SQSClientConfig } from "@aws-sdk/client-sqs";
import { fetchHandler } from "./fetch-handler.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";
import type { SqsAddress } from "./sqs-queue-url.ts";

/**
 * The service behind all calls of one queue: how it is reached, and whether it is there.
 *
 * There is no connection to lose: every call is a request of its own, with a deadline over all of its tries. The SDK
 * tries three times with a growing wait when the network fails, the service does, or it says that calls are too many.
 * What fails after that is QUEUE_UNAVAILABLE for whoever asked, and DOWN for the probe until a call succeeds.
 */
export class SqsService {
  readonly client: SQSClient;
  readonly #clock: Clock;
  readonly #underWay = new Set<AbortController>();
  #isClosed = false;
  #fault: string | null = null;

  constructor(config: SQSClientConfig, clock: Clock) {
    this.client = new SQSClient(config);
    for (const name of costlyMiddleware) this.client.middlewareStack.remove(name);
    this.#clock = clock;
  }

  async call<Output>(
    ask: (options: { readonly abortSignal: AbortSignal }) => Promise<Output>,
    { timeoutMs = sqsLimits.callTimeoutMs }: { readonly timeoutMs?: number } = {},
  ): Promise<Output> {
    if (this.#isClosed) throw new CodedError("QUEUE_UNAVAILABLE", { message: "the queue on SQS is closed" });
    const abort = new AbortController();
    const cancelTimer = this.#clock.setTimer(timeoutMs, () => abort.abort());
    this.#underWay.add(abort);
    try {
      const output = await ask({ abortSignal: abort.signal });
      this.#fault = null;
      return output;
    } catch (error) {
      if (!this.#isClosed) this.#fault = describeError(error);
      const message = `SQS does not do what it was asked: ${describeError(error)}`;
      throw new CodedError("QUEUE_UNAVAILABLE", { message, cause: error });
    } finally {
      cancelTimer();
      this.#underWay.delete(abort);
    }
  }

  probe(): HealthResult {
    return this.#fault === null ? { status: "UP" } : { status: "DOWN", data: { error: this.#fault } };
  }

  /** Cuts off what is under way; nothing is asked any more. */
  close(): void {
    this.#isClosed = true;
    for (const abort of this.#underWay) abort.abort();
    this.client.destroy();
  }
}

/** The name SQS gives to what went wrong; null: it did not answer, or not as SQS does. */
export function sqsFaultName(error: unknown): string | null {
  const cause = error instanceof CodedError ? error.cause : error;
  return cause instanceof SQSServiceException ? cause.name : null;
}

/**
 * Steps of the SDK that do nothing for us, and took a quarter of the processor's time of a call: one writes what was
 * asked and answered to a log that nobody keeps, one describes this program to AWS, one marks calls made within Lambda.
 */
const costlyMiddleware = ["loggerMiddleware", "getUserAgentMiddleware", "recursionDetectionMiddleware"];

const localCredentials = { accessKeyId: "local", secretAccessKey: "local" };

/**
 * An emulator on this machine asks for no credentials and has no region: any do, and the SDK is not sent looking for
 * them on the network.
 */
export function createSqsService({ endpoint, region }: SqsAddress, clock: Clock): SqsService {
  const isLocal = endpoint !== null && isLoopback(new URL(endpoint).hostname);
  const config: SQSClientConfig = {
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    ...(isLocal ? { region: region ?? "us-east-1", credentials: localCredentials } : {}),
    // TCP and TLS have sums of their own; hashing each body again would cost more than reading it.
    md5: false,
    // The endpoint stands as it was given; emulators name queues by addresses that do not lead to them.
    useQueueUrlAsEndpoint: false,
    requestHandler: fetchHandler,
  };
  return new SqsService(config, clock);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}
