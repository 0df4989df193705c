import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { EventType } from "../domain/event-type.ts";
import type { EventTypeId, PoolCode, PoolId, SubscriptionId } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";
import type { Subscription, SubscriptionStatus } from "../domain/subscription.ts";

/** One page of a keyset-paged list; `nextCursor` is opaque. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
  readonly total: number | null;
}

export interface PageRequest {
  readonly limit: number;
  readonly cursor: string | null;
}

export type CreateResult<Entity> =
  | { readonly kind: "created"; readonly entity: Entity }
  /** `field` is what collided, e.g. `code`. */
  | { readonly kind: "duplicate"; readonly field: string; readonly existing: Entity };

export type UpdateResult<Entity> =
  | { readonly kind: "updated"; readonly entity: Entity }
  | { readonly kind: "notFound" }
  | { readonly kind: "duplicate"; readonly field: string }
  | { readonly kind: "versionMismatch"; readonly current: Entity };

/**
 * Settings repositories. Entities are replaced whole by compare-and-set on `version`: `replace` writes `entity` (whose
 * version is one more than `expectedVersion`) only if the stored version still is `expectedVersion`.
 */
export interface SubscriptionRepository {
  /** `code`, if given, is unique within the client (also `name`). */
  create(subscription: Subscription): Promise<CreateResult<Subscription>>;
  replace(subscription: Subscription, expectedVersion: number): Promise<UpdateResult<Subscription>>;
  byId(id: SubscriptionId, scope: Scope): Promise<Subscription | null>;
  list(filter: SubscriptionFilter, page: PageRequest, scope: Scope): Promise<Page<Subscription>>;
}

export interface SubscriptionFilter {
  readonly status?: SubscriptionStatus;
  readonly clientId?: string | null;
  readonly code?: string;
  readonly name?: string;
}

/** What the stream needs: everything that matches now, and whether that has changed. */
export interface SubscriptionReader {
  /** Rises with each change of any subscription. Cheap: asked before every pass. */
  revision(): Promise<number>;
  /** ACTIVE and PAUSED ones. */
  matching(): Promise<readonly Subscription[]>;
}

export interface DispatchPoolRepository {
  create(pool: DispatchPool): Promise<CreateResult<DispatchPool>>;
  replace(pool: DispatchPool, expectedVersion: number): Promise<UpdateResult<DispatchPool>>;
  /** `inUse`: a subscription that is not archived names it. */
  remove(id: PoolId): Promise<"removed" | "notFound" | "inUse">;
  byId(id: PoolId, scope: Scope): Promise<DispatchPool | null>;
  byCode(code: PoolCode, scope: Scope): Promise<DispatchPool | null>;
  list(page: PageRequest, scope: Scope): Promise<Page<DispatchPool>>;
}

export interface EventTypeRepository {
  create(eventType: EventType): Promise<CreateResult<EventType>>;
  replace(eventType: EventType, expectedVersion: number): Promise<UpdateResult<EventType>>;
  remove(id: EventTypeId): Promise<"removed" | "notFound">;
  byId(id: EventTypeId, scope: Scope): Promise<EventType | null>;
  byCode(code: string, scope: Scope): Promise<EventType | null>;
  list(
    filter: { readonly application?: string; readonly status?: "ACTIVE" | "ARCHIVED" },
    page: PageRequest,
    scope: Scope,
  ): Promise<Page<EventType>>;
  /** Rises with each change; lets the API cache compiled schemas. */
  revision(): Promise<number>;
}
