import { createHash } from "node:crypto";
import { wireLimits } from "@flowcatalyst/contracts";

/**
 * The deduplication key of a CloudEvent that names none: its source and id, which identify it. The length in front
 * keeps pairs apart whatever characters they hold; a key that would be too long is replaced by its digest.
 */
export function cloudEventDeduplicationId(source: string, id: string): string {
  const key = `ce:${source.length}:${source}:${id}`;
  if (key.length <= wireLimits.keyMaxChars) return key;
  return `ce:sha256:${createHash("sha256").update(key).digest("hex")}`;
}
