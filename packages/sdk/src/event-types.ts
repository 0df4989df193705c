import type { CreateEvent } from "./generated/events.ts";

/**
 * Any event: the map that is used when none is given.
 *
 * A map of event types names each type and says what its data is. It exists for the compiler only.
 *
 * @example
 * ```ts
 * interface ShopEvents {
 *   "order.placed": { orderId: string; total: number };
 *   "order.shipped": { orderId: string };
 * }
 * const client = createClient<ShopEvents>({ baseUrl: "http://127.0.0.1:8080" });
 * await client.publish({ type: "order.shipped", source: "shop", data: { orderId: "1" } });
 * ```
 */
export type AnyEvents = Readonly<Record<string, unknown>>;

/** An event of one of the types of a map: its `type` decides what its `data` is. */
export type EventOf<Types extends object = AnyEvents> = {
  readonly [Type in keyof Types & string]: Omit<CreateEvent, "type" | "data"> & {
    readonly type: Type;
  } & DataMember<Types[Type]>;
}[keyof Types & string];

/** Data that may be undefined may be left out. */
type DataMember<Data> = undefined extends Data ? { readonly data?: Data } : { readonly data: Data };
