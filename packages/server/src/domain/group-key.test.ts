import { expect, test } from "bun:test";
import fc from "fast-check";
import { eventGroupKey, taskGroupKey } from "./group-key.ts";
import type { ClientId, SubscriptionId } from "./ids.ts";

const id = "sub_0000000000000" as SubscriptionId;

test("names the subscription, then the group", () => {
  expect(eventGroupKey(id, "NEXT_ON_ERROR", "order-1")).toBe("sub_0000000000000:order-1" as never);
  expect(taskGroupKey("cli_1" as ClientId, "BLOCK_ON_ERROR", "g")).toBe("cli_1:task:g" as never);
  expect(taskGroupKey(null, "BLOCK_ON_ERROR", "g")).toBe("-:task:g" as never);
});

test("nothing is ordered without a group, or when the mode is IMMEDIATE", () => {
  expect(eventGroupKey(id, "NEXT_ON_ERROR", null)).toBeNull();
  expect(eventGroupKey(id, "IMMEDIATE", "g")).toBeNull();
  expect(taskGroupKey(null, "IMMEDIATE", "g")).toBeNull();
});

test("two clients never share a group of tasks", () => {
  const text = fc.stringMatching(/^[-a:%2D3task]{1,8}$/);
  const client = fc.option(text, { nil: null });
  fc.assert(
    fc.property(fc.tuple(client, text), fc.tuple(client, text), (one, other) => {
      const [leftClient, leftGroup] = one;
      const [rightClient, rightGroup] = other;
      const left = taskGroupKey(leftClient as ClientId | null, "NEXT_ON_ERROR", leftGroup);
      const right = taskGroupKey(rightClient as ClientId | null, "NEXT_ON_ERROR", rightGroup);
      expect(left === right).toBe(leftClient === rightClient && leftGroup === rightGroup);
    }),
    { numRuns: 2_000 },
  );
});
