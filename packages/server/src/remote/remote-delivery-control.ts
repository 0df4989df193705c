import { routerControlSchema, routerSecretsSchema, wireLimits } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { SubscriptionId } from "../domain/ids.ts";
import type { ControlState, DeliveryControl } from "../ports/delivery-control.ts";
import type { PlatformClient } from "./platform-client.ts";
import { poolIn } from "./remote-wire.ts";

export const remoteDeliveryControlLimits = {
  /** How long beyond its wait an answer may take. */
  slackMs: 10_000,
  secretsTimeoutMs: 5_000,
} as const;

/**
 * Pools, pauses, cancellations and secrets from the platform. Nothing is cached here: the router keeps the state and
 * the secrets, both for at most a minute (control-view, signing-keys).
 */
export function createRemoteDeliveryControl({ client }: { readonly client: PlatformClient }): DeliveryControl {
  let last: ControlState | null = null;
  return {
    async read(knownRevision, waitMs, signal) {
      if (signal.aborted && last !== null) return last;
      const heldMs = Math.min(Math.max(0, Math.floor(waitMs)), wireLimits.controlWaitMaxMs);
      const query = new URLSearchParams({ waitMs: String(heldMs) });
      if (knownRevision !== null) query.set("revision", String(knownRevision));
      try {
        const timeoutMs = heldMs + remoteDeliveryControlLimits.slackMs;
        const answer = await client.call({
          method: "GET",
          path: `/api/router/control?${query.toString()}`,
          timeoutMs,
          signal,
        });
        last = controlStateOf(answer.kind === "answered" ? answer.body : null);
        return last;
      } catch (error) {
        if (signal.aborted && last !== null) return last;
        throw error;
      }
    },
    async secrets(ref, signal) {
      const path = `/api/router/secrets?${new URLSearchParams({ ref }).toString()}`;
      const timeoutMs = remoteDeliveryControlLimits.secretsTimeoutMs;
      const answer = await client.call({ method: "GET", path, timeoutMs, signal });
      // A reference that the platform refuses is one that nobody can have given a secret to.
      if (answer.kind === "refused") return [];
      const parsed = routerSecretsSchema.safeParse(answer.body);
      if (!parsed.success) throw unreadable("secrets");
      return parsed.data.secrets;
    },
  };
}

function controlStateOf(body: unknown): ControlState {
  const parsed = routerControlSchema.safeParse(body);
  if (!parsed.success) throw unreadable("pools and pauses");
  const { revision, pools, pausedSubscriptions, cancelledJobs } = parsed.data;
  return {
    revision,
    pools: pools.map(poolIn),
    pausedSubscriptions: new Set(pausedSubscriptions as SubscriptionId[]),
    cancelledJobs: new Set(cancelledJobs),
  };
}

function unreadable(what: string): CodedError {
  const message = `The platform answers the question for ${what} with what this router cannot read`;
  return new CodedError("STORE_UNAVAILABLE", { message: `${message}; is it of another version?` });
}
