import { CodedError } from "@flowcatalyst/foundation";
import type { JobId, JobPosition } from "../../domain/ids.ts";
import type { JobPlace } from "../../ports/search.ts";

/** A list of jobs goes on behind its last one; jobs that come later are newer and shift nothing. */
export function writeJobCursor({ position, id }: JobPlace): string {
  return Buffer.from(`before.${position}.${id}`).toString("base64url");
}

/** Throws CURSOR_INVALID. */
export function readJobCursor(text: string): JobPlace {
  const decoded = Buffer.from(text, "base64url").toString();
  const [, position, id] = /^before\.(\d{1,15})\.(job_[0-9A-Z]{13})$/.exec(decoded) ?? [];
  if (position === undefined || id === undefined) throw new CodedError("CURSOR_INVALID");
  return { position: Number(position) as JobPosition, id: id as JobId };
}
