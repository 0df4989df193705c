import { CodedError } from "@flowcatalyst/foundation";
import type { OpenStore, StorePlan } from "./open-store.ts";
import type { ProcessContext } from "./process-context.ts";

export function openPostgresStore(_plan: StorePlan, _context: ProcessContext): Promise<OpenStore> {
  throw new CodedError("FEATURE_NOT_BUILT", { message: "The store on PostgreSQL is not built yet." });
}
