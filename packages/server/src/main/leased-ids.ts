import {
  CodedError,
  createTsidGenerator,
  createWakeUp,
  describeError,
  type Clock,
  type Logger,
  type Service,
  type TsidGenerator,
} from "@flowcatalyst/foundation";
import { createIdSource, type IdSource } from "../domain/ids.ts";
import type { NodeNumbers } from "../ports/lease.ts";

/**
 * Ids under a node number that is leased from the store, so that no two live processes ever make the same id.
 *
 * The number is leased for ten minutes and renewed every two while the process runs, and given back at its stop. A
 * process that could not renew it in time (the database was away, the machine asleep, the process stopped) must not go
 * on as if it had: somebody else may have the number by now. So past nine tenths of the time, by the monotonic clock,
 * which goes on while a process is stopped, or by the wall clock, which goes on while a machine sleeps, no ids are
 * given out: whoever asks for one gets STORE_UNAVAILABLE, as it would from the database, and the number is renewed at
 * once: the same or, if that is taken, another one.
 *
 * Ten minutes, because a process that is killed leaves its number behind: at 1,024 numbers it takes more than one such
 * death a second, for ten minutes, to use them up.
 */
export const nodeLeaseDefaults = {
  ttlMs: 600_000,
  renewIntervalMs: 120_000,
  /** After a renewal that failed. */
  retryMs: 1_000,
} as const;

const trustedShare = 0.9;

export interface LeasedIds {
  readonly ids: IdSource;
  /** Renews the number, and gives it back at the stop. Start it before, and stop it after, whoever makes ids. */
  readonly service: Service;
}

export interface LeasedIdsDeps {
  readonly nodeNumbers: NodeNumbers;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Throws what the store throws: without a number there is nothing to start with. */
export async function createLeasedIds(deps: LeasedIdsDeps, holder: string): Promise<LeasedIds> {
  const { nodeNumbers, clock, logger } = deps;
  const { ttlMs, renewIntervalMs, retryMs } = nodeLeaseDefaults;
  const untrusted = createWakeUp(clock);
  let held = await lease(null);

  async function lease(before: Held | null): Promise<Held> {
    const monotonicMs = clock.monotonicMs() + ttlMs * trustedShare;
    const wallMs = clock.now() + ttlMs * trustedShare;
    const node = await nodeNumbers.lease(holder, ttlMs);
    if (node === before?.node) return { ...before, monotonicMs, wallMs };
    return { node, generator: createTsidGenerator({ clock, node }), monotonicMs, wallMs };
  }

  const renew = async (failing: boolean): Promise<boolean> => {
    try {
      held = await lease(held);
      return true;
    } catch (error) {
      if (!failing) logger.warn({ error: describeError(error) }, "The node number cannot be renewed; tried again");
      return false;
    }
  };

  return {
    ids: createIdSource(() => {
      if (clock.monotonicMs() <= held.monotonicMs && clock.now() <= held.wallMs) return held.generator.next();
      untrusted.wake();
      throw numberRanOut();
    }),
    service: {
      name: "node-number",
      run: async (signal) => {
        let failing = false;
        while (!signal.aborted) {
          if (failing) await clock.sleep(retryMs, signal);
          else await untrusted.wait(renewIntervalMs, signal);
          if (!signal.aborted) failing = !(await renew(failing));
        }
        await nodeNumbers.release(holder).catch((error: unknown) => {
          logger.debug({ error: describeError(error) }, "The node number will run out by itself");
        });
      },
    },
  };
}

interface Held {
  readonly node: number;
  readonly generator: TsidGenerator;
  readonly monotonicMs: number;
  readonly wallMs: number;
}

function numberRanOut(): CodedError {
  return new CodedError("STORE_UNAVAILABLE", {
    message: "This process could not renew its node number at the database, so it makes no ids now",
  });
}
