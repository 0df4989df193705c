import type { Random } from "@flowcatalyst/foundation";
import type { Application } from "./application.ts";

/**
 * Orders of many groups, each group strictly in order, some of the transactions rolled back. What is rolled back has a
 * group of its own that no committed order has, so that its event, should it arrive, is one too many in the ledger.
 */
export interface OrderLoad {
  readonly application: Application;
  readonly type: string;
  /** The last place of each group; a further load with the same ones goes on from there. */
  readonly places: number[];
  /** Committed orders at most; the load may end before, by its signal. */
  readonly orders: number;
  readonly connections: number;
  readonly random: Random;
  /** The share of transactions that are rolled back. */
  readonly rollbacks: number;
  /** Pause after each transaction of a connection, so that the load lasts. */
  readonly pauseMs?: number;
  readonly signal?: AbortSignal;
  /** Told after each commit how many orders there are in all. */
  readonly onCommitted?: (orders: number) => void;
}

export interface OrderLoadResult {
  readonly committed: number;
  readonly rolledBack: number;
}

/** The first group of what is rolled back. */
export const phantomGroup = 1_000_000;
const ordersATransaction = 3;

export async function placeOrders(load: OrderLoad): Promise<OrderLoadResult> {
  const { application, type, places, connections, random, signal } = load;
  let committed = 0;
  let rolledBack = 0;
  const connection = async (index: number): Promise<void> => {
    const own = [...places.keys()].filter((group) => group % connections === index);
    for (let turn = 0; committed < load.orders && signal?.aborted !== true; turn += 1) {
      if (random.next() < load.rollbacks) {
        rolledBack += 1;
        const orders = [{ group: phantomGroup + rolledBack, place: 1 }];
        await application.transact(index, { orders, type, commits: false });
      }
      const group = own[turn % own.length] ?? 0;
      const count = Math.min(1 + Math.floor(random.next() * ordersATransaction), load.orders - committed);
      const first = (places[group] ?? 0) + 1;
      const orders = Array.from({ length: count }, (_, i) => ({ group, place: first + i }));
      places[group] = first + count - 1;
      committed += count;
      await application.transact(index, { orders, type, commits: true });
      load.onCommitted?.(committed);
      await Bun.sleep(load.pauseMs ?? 0);
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, index) => connection(index)));
  return { committed, rolledBack };
}
