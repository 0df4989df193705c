/**
 * The one mediation type: a signed HTTP POST.
 *
 * The target's host is resolved once and every address of it checked; the checked address is what is dialled. What may
 * not be dialled, does not resolve or does not answer is an answer too (see `domain/response-outcome`); only the stop
 * of the process ends a call without one.
 */
import { describeError } from "@flowcatalyst/foundation";
import { attemptLimits } from "../../domain/attempt.ts";
import { composeRequest } from "../../domain/delivery-request.ts";
import type { JobDelivery } from "../../domain/message.ts";
import type { Answer } from "../../domain/response-outcome.ts";
import type { SigningKey } from "../../domain/signature.ts";
import type { AddressGuard, Transport } from "../../ports/transport.ts";

export interface Call {
  readonly job: JobDelivery;
  /** Wall clock. */
  readonly nowMs: number;
  readonly attempt: number;
  readonly keys: readonly SigningKey[];
  readonly traceparent: string | null;
  readonly timeoutMs: number;
}

export interface Mediation {
  readonly answer: Answer;
  readonly signed: boolean;
}

/** Delivers in one way. Never throws; an aborted signal gives `connectionFailed`. */
export interface Mediator {
  mediate(call: Call, signal: AbortSignal): Promise<Mediation>;
}

export interface HttpMediatorDeps {
  readonly guard: AddressGuard;
  readonly transport: Transport;
}

export class HttpMediator implements Mediator {
  readonly #deps: HttpMediatorDeps;
  readonly #userAgent: string;

  constructor(deps: HttpMediatorDeps, config: { readonly userAgent: string }) {
    this.#deps = deps;
    this.#userAgent = config.userAgent;
  }

  async mediate(call: Call, signal: AbortSignal): Promise<Mediation> {
    const { job, nowMs, attempt, keys, traceparent } = call;
    const isSigned = keys.length > 0;
    try {
      const resolution = await this.#deps.guard.check(job.target, signal);
      if (resolution.kind === "forbidden") {
        const { address, range } = resolution;
        return { answer: { kind: "blockedAddress", address, range }, signed: isSigned };
      }
      if (resolution.kind === "unresolved") {
        return { answer: { kind: "dnsFailed", detail: resolution.detail }, signed: isSigned };
      }
      const context = { nowMs, attempt, keys, traceparent, userAgent: this.#userAgent };
      const { headers, body, signed } = composeRequest(job, context);
      const request = {
        url: job.target,
        address: resolution.address,
        headers,
        body,
        timeoutMs: call.timeoutMs,
        responseMaxBytes: attemptLimits.responseReadMaxBytes,
      };
      return { answer: await this.#deps.transport.post(request, signal), signed };
    } catch (error) {
      return { answer: { kind: "connectionFailed", detail: describeError(error) }, signed: isSigned };
    }
  }
}
