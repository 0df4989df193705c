import { describe, expect, test } from "bun:test";
import type { PoolCode } from "../../domain/ids.ts";
import { parseSqsUrl } from "./sqs-queue-url.ts";

describe("the URL of a queue on SQS", () => {
  test("by name, with all that can be said", () => {
    const url =
      "sqs://Orders_1.fifo?region=eu-west-1&endpoint=http://127.0.0.1:4566/&lanes=A,B_2&dead=gone&create=true";
    expect(parseSqsUrl(url)).toEqual({
      name: "Orders_1.fifo",
      isFifo: true,
      queueUrl: null,
      endpoint: "http://127.0.0.1:4566",
      region: "eu-west-1",
      lanes: ["A", "B_2"] as PoolCode[],
      deadName: "gone",
      create: true,
    });
  });
  test("by name alone", () => {
    expect(parseSqsUrl("sqs://orders")).toEqual({
      name: "orders",
      isFifo: false,
      queueUrl: null,
      endpoint: null,
      region: null,
      lanes: [],
      deadName: "orders-dead",
      create: false,
    });
  });
  test.each([
    ["https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo", "eu-west-1"],
    ["https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/orders.fifo", "us-gov-west-1"],
    ["https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders.fifo", "cn-north-1"],
    ["https://vpce-0a.sqs.eu-central-1.vpce.amazonaws.com/123456789012/orders.fifo", "eu-central-1"],
    ["http://127.0.0.1:4566/000000000000/orders.fifo", null],
  ])("as AWS and emulators write it: %s", (url, region) => {
    expect(parseSqsUrl(`${url}?lanes=DEFAULT-POOL,A,A`)).toMatchObject({
      name: "orders.fifo",
      queueUrl: url,
      endpoint: new URL(url).origin,
      region,
      lanes: ["A"],
      deadName: "orders-dead.fifo",
    });
  });
  test.each([
    ["nonsense", "is not an address"],
    ["amqp://orders", "is not an address"],
    ["sqs://", "must be sqs://NAME"],
    ["sqs://a.b", "must be sqs://NAME"],
    ["sqs://orders/more", "must be sqs://NAME"],
    [`sqs://${"x".repeat(81)}`, "must be sqs://NAME"],
    ["https://sqs.eu-west-1.amazonaws.com/", "must end in"],
    ["sqs://orders?lane=A", "has the parameter lane; known are"],
    ["sqs://orders?lanes=with.dot", "lists the lane with.dot"],
    ["sqs://orders?create=yes", "neither true nor false"],
    ["sqs://orders?endpoint=ftp://a", "has an endpoint"],
    ["sqs://orders?dead=orders", "names orders for dead letters and for messages too"],
    ["sqs://orders?lanes=dead", "names orders-dead for dead letters"],
    ["sqs://orders?dead=a/b", "names the dead-letter queue a/b"],
  ])("%s is refused", (url, reason) => {
    expect(() => parseSqsUrl(url)).toThrow(reason);
  });
  test("credentials have no place in it, and are not repeated", () => {
    const parse = (): unknown => parseSqsUrl("https://KEY:very-secret@sqs.eu-west-1.amazonaws.com/1/orders");
    expect(parse).toThrow("credentials come from where AWS keeps them");
    expect(parse).not.toThrow("very-secret");
  });
});
