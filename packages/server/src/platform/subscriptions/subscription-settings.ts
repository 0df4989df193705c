import type { EntityWarning, ReplaceSubscription, UpdateSubscription } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import { patternFault } from "../../domain/event-type-pattern.ts";
import type { FilterCompiler } from "../../domain/filter.ts";
import type { Scope } from "../../domain/scope.ts";
import { subscriptionDefaults, type EventTypeBinding, type Subscription } from "../../domain/subscription.ts";
import { validationError, type TaggedFault } from "../../http/validation.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";
import type { AddressGuard } from "../../ports/transport.ts";
import { requirePoolCode } from "../pool-names.ts";
import { decideRetry } from "../retry-wire.ts";
import { checkTarget, headerFaults } from "../target-check.ts";

/** What of a subscription its owner decides. */
export type SubscriptionSettings = Pick<
  Subscription,
  | "code"
  | "name"
  | "eventTypes"
  | "filter"
  | "targetUrl"
  | "poolCode"
  | "mode"
  | "format"
  | "timeoutSeconds"
  | "retry"
  | "headers"
  | "delaySeconds"
  | "maxAgeSeconds"
  | "legacySignature"
>;

export interface DecidedSettings {
  readonly settings: SubscriptionSettings;
  readonly warnings: readonly EntityWarning[];
}

export interface SettingsDeps {
  readonly pools: DispatchPoolRepository;
  readonly addressGuard: AddressGuard;
  readonly filters: FilterCompiler;
}

type Wishes = ReplaceSubscription;

/**
 * From what a body says to settings: defaults for what is absent, and everything checked that the schema cannot see
 * (patterns, filters, headers, retry policy, pool, target). Throws with the path of each fault; saves nothing.
 */
export async function decideSettings(deps: SettingsDeps, wishes: Wishes, scope: Scope): Promise<DecidedSettings> {
  const eventTypes = wishes.eventTypes.map(bindingOf);
  requirePatterns(eventTypes);
  requireFilters(deps.filters, { eventTypes, filter: wishes.filter ?? null });
  const headers = wishes.headers ?? {};
  const faults = headerFaults(headers);
  if (faults.length > 0) throw validationError(faults);
  const { retry, maxAgeSeconds } = decideRetry(
    {
      retry: wishes.retry ?? null,
      maxRetries: wishes.maxRetries ?? null,
      maxAgeSeconds: wishes.maxAgeSeconds ?? null,
    },
    subscriptionDefaults.maxAgeSeconds,
  );
  const poolCode = await requirePoolCode(deps.pools, wishes.dispatchPoolId, scope);
  const warnings = await checkTarget(deps.addressGuard, wishes.targetUrl);
  const settings: SubscriptionSettings = {
    code: wishes.code ?? null,
    name: wishes.name,
    eventTypes,
    filter: wishes.filter ?? null,
    targetUrl: wishes.targetUrl,
    poolCode,
    mode: wishes.mode ?? subscriptionDefaults.mode,
    format: wishes.format ?? subscriptionDefaults.format,
    timeoutSeconds: wishes.timeoutSeconds ?? subscriptionDefaults.timeoutSeconds,
    retry,
    headers,
    delaySeconds: wishes.delaySeconds ?? subscriptionDefaults.delaySeconds,
    maxAgeSeconds,
    legacySignature: wishes.legacySignature ?? false,
  };
  return { settings, warnings };
}

/** A subscription as a body would say it, with the changes of a PATCH over it. Null goes back to the default. */
export function patched(current: Subscription, changes: UpdateSubscription): Wishes {
  const { name, eventTypes, targetUrl, ...others } = changes;
  const retryChanges = "retry" in changes || "maxRetries" in changes;
  const keptRetries = changes.maxRetries === null ? null : current.retry.maxRetries;
  return {
    code: current.code,
    filter: current.filter,
    dispatchPoolId: current.poolCode,
    mode: current.mode,
    format: current.format,
    timeoutSeconds: current.timeoutSeconds,
    headers: { ...current.headers },
    delaySeconds: current.delaySeconds,
    maxAgeSeconds: retryChanges && typeof changes.retry === "string" ? null : current.maxAgeSeconds,
    legacySignature: current.legacySignature,
    retry: { delaysSeconds: current.retry.delaysMs.map((ms) => ms / 1_000), maxRetries: keptRetries },
    ...others,
    name: name ?? current.name,
    eventTypes: eventTypes ?? current.eventTypes.map(({ pattern, filter }) => ({ eventTypeCode: pattern, filter })),
    targetUrl: targetUrl ?? current.targetUrl,
  };
}

function bindingOf(given: ReplaceSubscription["eventTypes"][number]): EventTypeBinding {
  if (typeof given === "string") return { pattern: given, filter: null };
  return { pattern: given.eventTypeCode, filter: given.filter ?? null };
}

function requirePatterns(eventTypes: readonly EventTypeBinding[]): void {
  const errors: TaggedFault[] = [];
  for (const [index, { pattern }] of eventTypes.entries()) {
    const fault = patternFault(pattern);
    if (fault === null) continue;
    errors.push({ path: `eventTypes[${index}]`, message: `${fault.reason} (at character ${fault.position})` });
  }
  const [first] = errors;
  if (first === undefined) return;
  throw new CodedError("PATTERN_INVALID", { message: `${first.path}: ${first.message}.`, errors });
}

interface Filtered {
  readonly eventTypes: readonly EventTypeBinding[];
  readonly filter: string | null;
}

function requireFilters(filters: FilterCompiler, { eventTypes, filter }: Filtered): void {
  const sources: { readonly path: string; readonly source: string | null }[] = [
    { path: "filter", source: filter },
    ...eventTypes.map((binding, index) => ({ path: `eventTypes[${index}].filter`, source: binding.filter })),
  ];
  const errors: TaggedFault[] = [];
  for (const { path, source } of sources) {
    if (source === null) continue;
    const compiled = filters.compile(source);
    if (compiled.kind === "valid") continue;
    errors.push({ path, message: `${compiled.reason} (at character ${compiled.position})` });
  }
  const [first] = errors;
  if (first === undefined) return;
  throw new CodedError("FILTER_INVALID", { message: `${first.path}: ${first.message}.`, errors });
}
