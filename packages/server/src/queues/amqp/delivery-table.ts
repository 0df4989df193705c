import type { Delivery, Session } from "rhea";

/**
 * The deliveries of a session that are not settled, in place of the library's ring of 2048.
 *
 * In a ring what is settled leaves only when everything before it is settled: one slow call would keep thousands of
 * settled deliveries in memory, and after 2048 of them nothing more would be received on the session. A table lets each
 * go when it is settled. How many there are is bounded by the credit that is given.
 *
 * The library decodes a message before it hands it over, and what cannot be decoded would break the connection. It
 * leaves alone what it does not know the format of; so that is what it is told of every delivery.
 *
 * It stands where the library's own ring stands, with the five calls that the library makes of it.
 */
export class DeliveryTable {
  readonly #byId = new Map<number, Delivery>();

  push(delivery: Delivery): void {
    Reflect.set(delivery, "format", unknownFormat);
    this.#byId.set(delivery.id, delivery);
  }

  by_id(id: number): Delivery | undefined {
    return this.#byId.get(id);
  }

  available(): number {
    return sessionWindow;
  }

  /** The library asks for what is settled to go; `forget` has done that. */
  pop_if(): number {
    return 0;
  }

  forget(delivery: Delivery): void {
    this.#byId.delete(delivery.id);
  }

  get size(): number {
    return this.#byId.size;
  }
}

const unknownFormat = -1;

/** Frames that the broker may send before it hears of us; the credit of the link is what limits messages. */
const sessionWindow = 8_192;

/** Throws if the library is another one than it was. */
export function installDeliveryTable(session: Session): DeliveryTable {
  const incoming: unknown = Reflect.get(session, "incoming");
  if (typeof incoming !== "object" || incoming === null || !("deliveries" in incoming)) {
    throw new Error("this version of rhea keeps its deliveries elsewhere");
  }
  const table = new DeliveryTable();
  Reflect.set(incoming, "deliveries", table);
  return table;
}
