/** Targets in memory: each answers as its character says, until everything heals; then all are well. */
import type { Transport, TransportRequest, TransportResult } from "../../packages/server/src/ports/transport.ts";
import type { Dice } from "./dice.ts";
import type { Ledger, SimulatedCall } from "./ledger.ts";
import type { Life } from "./life.ts";
import type { AnswerKind, AnswerWeights } from "./scenario.ts";
import type { SimulatedTime } from "./simulated-time.ts";

export interface TargetsDeps {
  readonly time: SimulatedTime;
  readonly dice: Dice;
  readonly ledger: Ledger;
  readonly characters: ReadonlyMap<string, AnswerWeights>;
  readonly note: (text: string) => void;
  /** The product would take a violation for a failure of the target. */
  readonly fail: (violation: unknown) => void;
}

interface Answer {
  readonly afterMs: number;
  readonly result: TransportResult;
}

const WELL: AnswerWeights = { ok: 1 };

export class Targets {
  isHealed = false;
  readonly #deps: TargetsDeps;

  constructor(deps: TargetsDeps) {
    this.#deps = deps;
  }

  /** The network as one process sees it. */
  transportOf(life: Life): Transport {
    return { post: (request, signal) => this.#post(life, request, signal) };
  }

  async #post(life: Life, request: TransportRequest, signal: AbortSignal): Promise<TransportResult> {
    const { ledger, time, note } = this.#deps;
    life.step("call");
    const call = this.#begin(request, life);
    const answer = this.#answer(request);
    const status = answer.result.kind === "response" ? String(answer.result.status) : answer.result.kind;
    const where = `${call.group ?? "no group"} through ${call.pool}`;
    note(`p${life.number} calls ${call.jobId} of ${where}: ${status} in ${answer.afterMs.toFixed(2)} ms`);
    const outcome = await new Promise<TransportResult>((resolve) => {
      time.setTimer(answer.afterMs, () => resolve(answer.result));
      const cut: TransportResult = { kind: "connectionFailed", detail: "aborted" };
      signal.addEventListener("abort", () => resolve(cut), { once: true });
    });
    life.step("answer");
    ledger.end(call, isAcknowledgement(outcome));
    return outcome;
  }

  #begin(request: TransportRequest, life: Life): SimulatedCall {
    try {
      return this.#deps.ledger.begin(request, life);
    } catch (error) {
      this.#deps.fail(error);
      throw error;
    }
  }

  #answer(request: TransportRequest): Answer {
    const { dice, characters } = this.#deps;
    const weights = this.isHealed ? WELL : (characters.get(new URL(request.url).origin) ?? WELL);
    return this.#answerOf(dice.weighted<AnswerKind>(weights), request.timeoutMs);
  }

  #answerOf(kind: AnswerKind, timeoutMs: number): Answer {
    const { dice } = this.#deps;
    // Not whole: monotonic clocks do not tell whole milliseconds.
    const soonMs = dice.chance(0.2) ? 0 : dice.random.next() * 40;
    const seconds = dice.int(1, 20);
    const answer = (status: number, body = "", retryAfter: string | null = null): Answer => ({
      afterMs: soonMs,
      result: { kind: "response", status, body, retryAfter },
    });
    switch (kind) {
      case "ok":
        return answer(dice.pick([200, 200, 204, 202]));
      case "slow":
        return { ...answer(200, "ok"), afterMs: 100 + dice.random.next() * (timeoutMs - 101) };
      case "serverError":
        return answer(dice.pick([500, 502, 503]));
      case "timeout":
        return { afterMs: timeoutMs, result: { kind: "timeout" } };
      case "refused":
        return { afterMs: soonMs, result: { kind: "connectionFailed", detail: "refused" } };
      case "rateLimited":
        return answer(429, "", dice.chance(0.8) ? String(seconds) : null);
      case "busy":
        return answer(503, "", String(seconds));
      case "notYet":
        return answer(200, `{"ack":false,"delaySeconds":${seconds}}`);
      case "rejected":
        return answer(dice.pick([400, 404, 422, 301, 501]));
      case "gone":
        return answer(410);
      case "tooEarly":
        return answer(dice.pick([408, 425]));
    }
  }
}

function isAcknowledgement(result: TransportResult): boolean {
  return result.kind === "response" && result.status >= 200 && result.status < 300 && !result.body.includes("ack");
}
