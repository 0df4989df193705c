import { CodedError } from "@flowcatalyst/foundation";
import type { OutboxConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";

export async function composeOutbox(config: OutboxConfig, context: ProcessContext): Promise<Composition> {
  throw new CodedError("INTERNAL", { context: { reason: `not written yet: ${config.outboxMode} ${context.holder}` } });
}
