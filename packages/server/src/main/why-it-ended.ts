import { CodedError, errorCodes } from "@flowcatalyst/foundation";

/** Of a process that could not start or go on: what happened, and what to do about it. */
export function whyItEnded(error: unknown): string {
  if (!(error instanceof CodedError)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const said = error.publicMessage;
  const { advice } = errorCodes[error.code];
  if (said.includes(advice)) return said;
  if (said.includes("\n")) return `${said}\n${advice}`;
  return `${said}${/[.?!]$/.test(said) ? "" : "."} ${advice}`;
}
