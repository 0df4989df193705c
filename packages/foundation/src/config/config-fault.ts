import { CodedError } from "../coded-error.ts";

/** One thing wrong with the configuration. `key` is empty when a whole file is meant. */
export type ConfigFault = {
  readonly key: string;
  /** Where the value stands: `environment`, a file's path, a flag. */
  readonly source: string;
  readonly reason: string;
};

/** One line for a person. Never holds the value of a secret. */
export function describeFault(fault: ConfigFault): string {
  return fault.key === "" ? `${fault.source}: ${fault.reason}` : `${fault.key} (${fault.source}): ${fault.reason}`;
}

/** All faults as one error that ends a process: one fault in one line, more of them in a line each. */
export function configInvalid(faults: readonly ConfigFault[]): CodedError {
  const lines = faults.map((fault) => describeFault(fault));
  const message =
    lines.length === 1
      ? `The configuration is not valid: ${lines[0] ?? ""}`
      : `The configuration has ${lines.length} faults:\n${lines.map((line) => `  ${line}`).join("\n")}`;
  const errors = faults.map((fault) => ({ path: fault.key, message: fault.reason }));
  return new CodedError("CONFIG_INVALID", { message, errors });
}
