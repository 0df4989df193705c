import type { SubscriptionStats } from "@flowcatalyst/contracts";
import { CodedError, isoTime } from "@flowcatalyst/foundation";
import type { FilterFaults } from "../../domain/filter-faults.ts";
import type { SubscriptionId } from "../../domain/ids.ts";
import { createdAnswer, entityAnswer, emptyAnswer, found, jsonAnswer, listAnswer } from "../answers.ts";
import { jobOut } from "../dispatch-jobs/job-out.ts";
import { clientIdOf } from "../many-texts.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { subscriptionEndpoints } from "./endpoints.ts";
import { createSigningSecrets, type SigningSecrets } from "./signing-secrets.ts";
import { subscriptionOut } from "./subscription-out.ts";
import { SubscriptionService, type Target } from "./subscription-service.ts";
import { sendTestDelivery } from "./test-delivery.ts";

const hourMs = 3_600_000;
const defaultOverlapHours = 24;

export function mountSubscriptions(mount: Mount, deps: PlatformDeps): void {
  const signingSecrets = createSigningSecrets(deps);
  const service = new SubscriptionService({ ...deps, signingSecrets });
  mountCrud(mount, deps, service);
  mountActions(mount, deps, service);
  mountSecrets(mount, service, signingSecrets);
}

function mountCrud(mount: Mount, { subscriptions }: PlatformDeps, service: SubscriptionService): void {
  mount.endpoint(subscriptionEndpoints.create, async ({ body, scope }) => {
    const { subscription, warnings } = await service.create(body, scope);
    return createdAnswer(subscriptionOut(subscription, warnings), `/api/subscriptions/${subscription.id}`);
  });
  mount.endpoint(subscriptionEndpoints.list, async ({ query, scope }) => {
    const { limit, cursor, clientId, ...filter } = query;
    const ofClient = clientId === undefined ? {} : { clientId: clientIdOf(clientId) };
    const page = await subscriptions.list({ ...filter, ...ofClient }, { limit, cursor: cursor ?? null }, scope);
    return listAnswer(page, (subscription) => subscriptionOut(subscription));
  });
  mount.endpoint(subscriptionEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return entityAnswer(
      subscriptionOut(found(await subscriptions.byId(id as SubscriptionId, scope), "subscription", id)),
    );
  });
  mount.endpoint(subscriptionEndpoints.replace, async (call) => {
    const { subscription, warnings } = await service.replace(targetOf(call), call.body);
    return entityAnswer(subscriptionOut(subscription, warnings));
  });
  mount.endpoint(subscriptionEndpoints.update, async (call) => {
    const { subscription, warnings } = await service.update(targetOf(call), call.body);
    return entityAnswer(subscriptionOut(subscription, warnings));
  });
  mount.endpoint(subscriptionEndpoints.remove, async (call) => {
    await service.archive(targetOf(call));
    return emptyAnswer();
  });
}

function mountActions(mount: Mount, deps: PlatformDeps, service: SubscriptionService): void {
  mount.endpoint(subscriptionEndpoints.pause, async (call) =>
    entityAnswer(subscriptionOut(await service.pause(targetOf(call), call.body.reason ?? null))),
  );
  mount.endpoint(subscriptionEndpoints.resume, async (call) =>
    entityAnswer(subscriptionOut(await service.resume(targetOf(call)))),
  );
  mount.endpoint(subscriptionEndpoints.archive, async (call) =>
    entityAnswer(subscriptionOut(await service.archive(targetOf(call)))),
  );
  mount.endpoint(subscriptionEndpoints.renewLease, async (call) =>
    entityAnswer(subscriptionOut(await service.renewLease(targetOf(call), call.body.leaseSeconds ?? null))),
  );
  mount.endpoint(subscriptionEndpoints.test, async ({ body, param, scope }) => {
    const subscription = await service.living(param("id"), scope);
    const job = await sendTestDelivery(deps, subscription, body);
    if (job === null) throw new CodedError("INTERNAL");
    return createdAnswer(jobOut(job), `/api/dispatch/jobs/${job.id}`);
  });
  mount.endpoint(subscriptionEndpoints.stats, async ({ param, scope }) => {
    // A tenant may read a subscription of the platform, but its figures are of all tenants together.
    const subscription = await service.writable(param("id"), scope);
    const counts = await deps.jobs.stats(subscription.id);
    return jsonAnswer({
      subscriptionId: subscription.id,
      pending: counts.PENDING,
      queued: counts.QUEUED,
      completed: counts.COMPLETED,
      failed: counts.FAILED,
      cancelled: counts.CANCELLED,
      expired: counts.EXPIRED,
      filterFaults: filterFaultsOut(deps.filterFaults?.(subscription.id) ?? null),
    });
  });
}

function filterFaultsOut(faults: FilterFaults | null): SubscriptionStats["filterFaults"] {
  if (faults === null) return null;
  const { count, lastReason, lastEventId, lastAtMs } = faults;
  return { count, lastReason, lastEventId, lastAt: isoTime(lastAtMs) };
}

function mountSecrets(mount: Mount, service: SubscriptionService, secrets: SigningSecrets): void {
  const readSecret = async ({ param, scope }: Pick<TargetCall, "param" | "scope">): Promise<Response> => {
    const { id } = await service.writable(param("id"), scope);
    return notStored(jsonAnswer(await secrets.read(id)));
  };
  mount.endpoint(subscriptionEndpoints.secret, readSecret);
  mount.endpoint(
    subscriptionEndpoints.rotateSecret,
    async ({ body, param, scope }) => {
      const { id } = await service.living(param("id"), scope);
      const overlapMs = Math.round((body.overlapHours ?? defaultOverlapHours) * hourMs);
      return notStored(jsonAnswer(await secrets.rotate(id, overlapMs)));
    },
    readSecret,
  );
}

/** Secrets belong into no cache on the way. */
function notStored(response: Response): Response {
  response.headers.set("cache-control", "no-store");
  return response;
}

interface TargetCall extends Pick<Target, "scope"> {
  readonly param: (name: string) => string;
  readonly ifMatch: () => number | null;
}

function targetOf(call: TargetCall): Target {
  return { id: call.param("id"), scope: call.scope, ifMatch: call.ifMatch() };
}
