import { describe, expect, test } from "bun:test";
import { typeOf } from "./generators/json-schema-types.ts";
import { iteratorName, methodName } from "./generators/sdk-names.ts";
import { apiDocument, methodsOf } from "./generators/sdk-operations.ts";

describe("names of methods", () => {
  test.each([
    ["Subscriptions", "createSubscription", "subscriptions.create"],
    ["Subscriptions", "listSubscriptions", "subscriptions.list"],
    ["Subscriptions", "getSubscription", "subscriptions.get"],
    ["Subscriptions", "deleteSubscription", "subscriptions.remove"],
    ["Subscriptions", "getSubscriptionStats", "subscriptions.stats"],
    ["Subscriptions", "renewSubscriptionLease", "subscriptions.renewLease"],
    ["Events", "listEventJobs", "events.jobs"],
    ["Groups", "unblockGroup", "groups.unblock"],
    ["Searches", "searchEvents", "events.search"],
  ])("%s, %s is %s", (tag, operationId, expected) => {
    const { resource, method } = methodName("platform", tag, operationId);
    expect(`${resource}.${method}`).toBe(expected);
  });

  test("a tag nobody has named stops the generator", () => {
    expect(() => methodName("platform", "Novelties", "getNovelty")).toThrow("scripts/generators/sdk-names.ts");
  });

  test("iterators are named after what they iterate over", () => {
    expect(["list", "attempts", "search"].map(iteratorName)).toEqual(["all", "allAttempts", "searchAll"]);
  });
});

describe("types", () => {
  test.each([
    [{ type: "integer", minimum: 1 }, "number"],
    [{ type: ["string", "null"] }, "string | null"],
    [{ enum: ["A", "B"] }, '"A" | "B"'],
    [{ anyOf: [{ $ref: "#/components/schemas/Retry" }, { type: "null" }] }, "Retry | null"],
    [{ type: "array", items: { type: ["string", "null"] } }, "readonly (string | null)[]"],
    [
      { type: "object", propertyNames: { type: "string" }, additionalProperties: { type: "string" } },
      "Readonly<Record<string, string>>",
    ],
    [{ anyOf: [{ type: "string" }, {}] }, "unknown"],
    [{}, "unknown"],
  ])("%j is %s", (schema, expected) => {
    expect(typeOf(schema)).toBe(expected);
  });

  test("a keyword that is not known stops the generator", () => {
    expect(() => typeOf({ allOf: [] })).toThrow("allOf is not known");
  });
});

test("an operation is read with its query, keys, answers and pages", () => {
  const page = {
    type: "object",
    properties: { items: { type: "array", items: { $ref: "#/components/schemas/Subscription" } }, nextCursor: {} },
  };
  const document = apiDocument("platform", {
    paths: {
      "/api/subscriptions": {
        get: {
          operationId: "listSubscriptions",
          tags: ["Subscriptions"],
          summary: "List",
          parameters: [{ name: "cursor", in: "query", schema: { type: "string" } }],
          responses: {
            "200": { content: { "application/json": { schema: { $ref: "#/components/schemas/SubscriptionList" } } } },
          },
        },
      },
      "/api/subscriptions/{id}/pause": {
        post: {
          operationId: "pauseSubscription",
          tags: ["Subscriptions"],
          summary: "Pause",
          parameters: [
            { name: "id", in: "path", required: true, schema: { type: "string" } },
            { name: "if-match", in: "header", schema: { type: "string" } },
            { name: "idempotency-key", in: "header", schema: { type: "string" } },
          ],
          requestBody: { content: { "application/json": { schema: { type: "object", properties: {} } } } },
          responses: { "204": {} },
        },
      },
    },
    components: { schemas: { SubscriptionList: page, Subscription: { type: "object", properties: {} } } },
  });
  const [list, pause] = methodsOf(document);
  expect(list).toMatchObject({
    name: "list",
    answer: "SubscriptionList",
    query: { type: "ListSubscriptionsQuery" },
    pages: { by: "cursor", iterator: "all", item: "Subscription" },
  });
  expect(pause).toMatchObject({ name: "pause", pathParameters: ["id"], body: null, answer: "void", takesKey: true });
  expect(pause).toMatchObject({ takesIfMatch: true, pages: null });
});
