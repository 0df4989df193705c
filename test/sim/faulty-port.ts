import { CodedError, isCodedError } from "@flowcatalyst/foundation";
import type { Life } from "./life.ts";

/** What goes wrong with one call although the process lives: refused, or done and the answer lost. */
export type PortFault = "none" | "refused" | "answerLost";

export interface PortFaults {
  decide(call: string): PortFault;
  /** What the port answered, whether or not the answer gets lost. */
  answered(call: string, value: unknown): void;
  /** The port threw what its contract does not know. */
  unexpected(call: string, error: unknown): void;
}

/**
 * A port with every asynchronous call a step at which the process may die and at which the port may fail. A port that
 * fails throws STORE_UNAVAILABLE, as its contract says; what it did before the answer was lost stays done, as with a
 * store or a broker over a network.
 */
export function faultyPort<Port extends object>(port: Port, name: string, parts: FaultyPortParts): Port {
  const { life, faults, calls } = parts;
  const wrapped = new Map<PropertyKey, unknown>();
  const wrap = (key: string, method: (...args: unknown[]) => Promise<unknown>) => {
    const call = `${name}.${key}`;
    return async (...args: unknown[]): Promise<unknown> => {
      life.step(call);
      const fault = faults.decide(call);
      if (fault === "refused") throw unavailable(`${call} refused`);
      const answer = await watch(call, faults, method.apply(port, args));
      if (fault === "answerLost") throw unavailable(`answer of ${call} lost`);
      return answer;
    };
  };
  return new Proxy(port, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      const method = value as (...args: unknown[]) => Promise<unknown>;
      const isCall = typeof key === "string" && calls.includes(key);
      let replacement = wrapped.get(key);
      if (replacement === undefined) {
        replacement = isCall ? wrap(key, method) : method.bind(target);
        wrapped.set(key, replacement);
      }
      return replacement;
    },
  });
}

export interface FaultyPortParts {
  readonly life: Life;
  readonly faults: PortFaults;
  /** The asynchronous calls; everything else passes through untouched. */
  readonly calls: readonly string[];
}

/** A store or a queue throws faults it has a code for, and nothing else. */
function watch(call: string, faults: PortFaults, answer: Promise<unknown>): Promise<unknown> {
  answer.then(
    (value) => faults.answered(call, value),
    (error: unknown) => {
      if (!isCodedError(error)) faults.unexpected(call, error);
    },
  );
  return answer;
}

function unavailable(message: string): CodedError {
  return new CodedError("STORE_UNAVAILABLE", { message });
}
