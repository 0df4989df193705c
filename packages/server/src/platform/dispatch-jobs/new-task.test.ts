import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { SubscriptionId } from "../../domain/ids.ts";
import { subscriptionSecretRef } from "../../domain/delivery-profile.ts";
import { anchorScope } from "../../domain/scope.ts";
import { clientScope, setupPlatform, type TestPlatform } from "../platform.fixture.ts";
import { createTaskMaker } from "./new-task.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const task = { targetUrl: "https://example.com/", payload: {} };

describe("a secret that a task names", () => {
  const refOf = async (clientId: string | null): Promise<string> => {
    const body = { name: `of ${clientId}`, eventTypes: ["a"], targetUrl: task.targetUrl, clientId };
    const { id } = await platform.call("POST /api/subscriptions", body);
    return subscriptionSecretRef(id as SubscriptionId);
  };

  test("is the tenant's own: another's would sign whatever the tenant likes", async () => {
    const make = createTaskMaker(platform.deps, clientScope("cli_1"));
    const own = await refOf("cli_1");
    expect((await make({ ...task, secretRef: own })).profile.secretRef).toBe(own);
    expect((await make({ ...task, secretRef: "client:cli_1" })).profile.secretRef).toBe("client:cli_1");
    for (const ref of [await refOf("cli_2"), await refOf(null), "client:cli_2", "subscription:", "nobody"]) {
      const refused = await make({ ...task, secretRef: ref }).catch((error: unknown) => error);
      expect(refused).toMatchObject({ errors: [{ path: "secretRef", message: "names no secret" }] });
    }
  });

  test("is any, for an administrator", async () => {
    const make = createTaskMaker(platform.deps, anchorScope);
    expect((await make({ ...task, secretRef: "later" })).profile.secretRef).toBe("later");
  });
});

test("all targets of a request have one deadline together", async () => {
  const signals = new Set<AbortSignal>();
  const { addressGuard } = platform.deps;
  const guard = {
    check: (url: string, signal: AbortSignal) => {
      signals.add(signal);
      return addressGuard.check(url, signal);
    },
  };
  const make = createTaskMaker({ ...platform.deps, addressGuard: guard }, anchorScope);
  for (const host of ["a", "b", "c"]) await make({ ...task, targetUrl: `https://${host}.example/` });
  expect(signals.size).toBe(1);
});
