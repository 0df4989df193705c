import { CodedError } from "@flowcatalyst/foundation";
import type { JobPosition } from "../../domain/ids.ts";

/** A list of jobs goes on before the place of its last one; jobs that come later are newer and shift nothing. */
export function writeJobCursor(position: JobPosition): string {
  return Buffer.from(`before.${position}`).toString("base64url");
}

/** Throws CURSOR_INVALID. */
export function readJobCursor(text: string): JobPosition {
  const position = /^before\.(\d{1,15})$/.exec(Buffer.from(text, "base64url").toString())?.[1];
  if (position === undefined) throw new CodedError("CURSOR_INVALID");
  return Number(position) as JobPosition;
}
