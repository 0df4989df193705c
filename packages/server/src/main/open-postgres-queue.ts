import { CodedError } from "@flowcatalyst/foundation";
import type { ProcessContext } from "./process-context.ts";
import type { OpenQueue, QueuePlace } from "./queue-at.ts";

export function openPostgresQueue(_place: QueuePlace, _context: ProcessContext): Promise<OpenQueue> {
  throw new CodedError("FEATURE_NOT_BUILT", { message: "The queue on PostgreSQL is not built yet." });
}
