import { CodedError } from "@flowcatalyst/foundation";

/**
 * Where a list of jobs goes on: the page, within the jobs that existed when the list began. Jobs that come later are
 * newer than the whole list, so they shift nothing.
 */
export interface JobCursor {
  readonly page: number;
  readonly createdBeforeMs: number;
}

export function writeJobCursor({ page, createdBeforeMs }: JobCursor): string {
  return Buffer.from(`${page}.${createdBeforeMs}`).toString("base64url");
}

/** Throws CURSOR_INVALID. */
export function readJobCursor(text: string): JobCursor {
  const [, page, createdBeforeMs] = /^(\d{1,9})\.(\d{1,15})$/.exec(Buffer.from(text, "base64url").toString()) ?? [];
  if (page === undefined || createdBeforeMs === undefined) throw new CodedError("CURSOR_INVALID");
  return { page: Number(page), createdBeforeMs: Number(createdBeforeMs) };
}
