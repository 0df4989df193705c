/**
 * What can be done to subscriptions.
 *
 * A subscription is ACTIVE, PAUSED or ARCHIVED. Pausing holds its jobs in the store while matching goes on, so nothing
 * is lost; archiving ends matching and cancels what is pending, in bounded steps. Each state action may be repeated: it
 * then does again what a crash between its two writes (the entity, the hold) may have left undone.
 *
 * A temporary subscription has a lease; unless it is renewed, housekeeping archives it once the lease is over.
 * The signing secret is stored before the subscription it belongs to, so a subscription never exists without one.
 */

import type {
  CreateSubscription,
  EntityWarning,
  ReplaceSubscription,
  UpdateSubscription,
} from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { SubscriptionId } from "../../domain/ids.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { Scope } from "../../domain/scope.ts";
import { createFilterCompiler, type FilterCompiler } from "../../domain/filter.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import {
  duplicate,
  ownerOf,
  replaceEntity,
  writable,
  type ChangeRequest,
  type EntityAccess,
} from "../replace-entity.ts";
import type { SigningSecrets } from "./signing-secrets.ts";
import { decideSettings, patched, type SettingsDeps } from "./subscription-settings.ts";

export type SubscriptionServiceDeps = Pick<
  PlatformDeps,
  "clock" | "ids" | "subscriptions" | "jobCommands" | "pools" | "addressGuard"
> & { readonly signingSecrets: SigningSecrets };

export interface Saved {
  readonly subscription: Subscription;
  readonly warnings: readonly EntityWarning[];
}

export type Target = Omit<ChangeRequest, "nowMs">;

/** Jobs cancelled by one step of archiving, and steps of one request; a repeat goes on. */
const cancelStepJobs = 1_000;
const cancelStepsMax = 2_000;
const defaultLeaseSeconds = 60;

export class SubscriptionService {
  readonly #deps: SubscriptionServiceDeps;
  readonly #access: EntityAccess<Subscription>;
  #filters: FilterCompiler | null = null;

  constructor(deps: SubscriptionServiceDeps) {
    this.#deps = deps;
    const { subscriptions } = deps;
    this.#access = {
      what: "subscription",
      byId: (id, scope) => subscriptions.byId(id as SubscriptionId, scope),
      replace: (entity, expectedVersion) => subscriptions.replace(entity, expectedVersion),
    };
  }

  async create(body: CreateSubscription, scope: Scope): Promise<Saved> {
    const { clock, ids, subscriptions, signingSecrets } = this.#deps;
    const { clientId: givenClient, leaseSeconds, ...wishes } = body;
    const clientId = ownerOf(scope, givenClient);
    const { settings, warnings } = await decideSettings(this.#settingsDeps(), wishes, scope);
    const nowMs = clock.now();
    const id = ids.subscription();
    await signingSecrets.create(id);
    const result = await subscriptions.create({
      id,
      clientId,
      ...settings,
      status: "ACTIVE",
      pauseReason: null,
      leaseExpiresAtMs: leaseEnd(leaseSeconds, nowMs),
      version: 1,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    });
    if (result.kind === "created") return { subscription: result.entity, warnings };
    await signingSecrets.remove(id);
    throw duplicate("subscription", result.field);
  }

  async replace(target: Target, body: ReplaceSubscription): Promise<Saved> {
    return this.#save(target, () => body);
  }

  async update(target: Target, changes: UpdateSubscription): Promise<Saved> {
    return this.#save(target, (current) => patched(current, changes));
  }

  async pause(target: Target, reason: string | null): Promise<Subscription> {
    const paused = await this.#change(target, (current) => {
      requireLiving(current);
      if (current.status === "PAUSED") return current;
      return { ...current, status: "PAUSED", pauseReason: reason ?? "OPERATOR" };
    });
    await this.#deps.jobCommands.holdSubscription(paused.id, true, this.#deps.clock.now());
    return paused;
  }

  async resume(target: Target): Promise<Subscription> {
    const resumed = await this.#change(target, (current) => {
      requireLiving(current);
      return current.status === "ACTIVE" ? current : { ...current, status: "ACTIVE", pauseReason: null };
    });
    await this.#deps.jobCommands.holdSubscription(resumed.id, false, this.#deps.clock.now());
    return resumed;
  }

  async archive(target: Target): Promise<Subscription> {
    const { jobCommands, clock } = this.#deps;
    const archived = await this.#change(target, (current) =>
      current.status === "ARCHIVED" ? current : { ...current, status: "ARCHIVED", pauseReason: null },
    );
    // Held first, so that nothing is published while the steps go through the pending jobs.
    await jobCommands.holdSubscription(archived.id, true, clock.now());
    for (let step = 0; step < cancelStepsMax; step++) {
      if ((await jobCommands.cancelPendingOf(archived.id, cancelStepJobs, clock.now())) === 0) break;
    }
    return archived;
  }

  async renewLease(target: Target, leaseSeconds: number | null): Promise<Subscription> {
    return this.#change(target, (current) => {
      requireLiving(current);
      if (current.leaseExpiresAtMs === null) {
        throw new CodedError("STATE_CONFLICT", { message: "The subscription has no lease: it is permanent." });
      }
      const seconds = leaseSeconds ?? defaultLeaseSeconds;
      return { ...current, leaseExpiresAtMs: leaseEnd(seconds, this.#deps.clock.now()) };
    });
  }

  /** The subscription, if its secrets may be told to this principal. */
  writable(id: string, scope: Scope): Promise<Subscription> {
    return writable(this.#access, { id, scope });
  }

  /** The same, if it has not ended. */
  async living(id: string, scope: Scope): Promise<Subscription> {
    const subscription = await this.writable(id, scope);
    requireLiving(subscription);
    return subscription;
  }

  async #save(target: Target, wishesOf: (current: Subscription) => ReplaceSubscription): Promise<Saved> {
    let warnings: readonly EntityWarning[] = [];
    const subscription = await this.#change(target, async (current) => {
      requireLiving(current);
      const decided = await decideSettings(this.#settingsDeps(), wishesOf(current), target.scope);
      warnings = decided.warnings;
      return { ...current, ...decided.settings };
    });
    return { subscription, warnings };
  }

  #change(
    target: Target,
    change: (current: Subscription) => Subscription | Promise<Subscription>,
  ): Promise<Subscription> {
    return replaceEntity(this.#access, { ...target, nowMs: this.#deps.clock.now() }, change);
  }

  #settingsDeps(): SettingsDeps {
    // Setting up the filter language takes a while, so it waits for the first subscription that is saved.
    this.#filters ??= createFilterCompiler();
    return { pools: this.#deps.pools, addressGuard: this.#deps.addressGuard, filters: this.#filters };
  }
}

function requireLiving(subscription: Subscription): void {
  if (subscription.status !== "ARCHIVED") return;
  throw new CodedError("STATE_CONFLICT", { message: "The subscription is ARCHIVED." });
}

function leaseEnd(leaseSeconds: number | null | undefined, nowMs: number): number | null {
  return leaseSeconds === null || leaseSeconds === undefined ? null : nowMs + leaseSeconds * 1_000;
}
