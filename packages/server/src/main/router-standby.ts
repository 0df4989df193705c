import type { StandbyState } from "@flowcatalyst/contracts";
import { configInvalid } from "@flowcatalyst/foundation";
import type { RouterConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";

/** Of several routers one is active: FC_STANDBY_ENABLED. */
export interface Standby {
  /**
   * Runs `active` whenever this process holds the lease, and aborts it when it cannot be sure any more. Settles when
   * `signal` aborts and `active` has ended; the lease is given back then.
   */
  run(active: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** As told at `/monitoring/standby`. */
  state(): StandbyState;
}

/** The seam of router.ts; called only with FC_STANDBY_ENABLED. */
export function openStandby(_config: RouterConfig, _context: ProcessContext): Promise<Standby> {
  throw configInvalid([{ key: "FC_STANDBY_ENABLED", source: "", reason: "is not built yet" }]);
}
