import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PoolCode } from "../../domain/ids.ts";
import { headerText, laneOfToken, laneToken, textOfHeader } from "./nats-names.ts";
import { parseNatsQueueUrl } from "./nats-queue-config.ts";
import { parseReceipt } from "./nats-receipt.ts";

describe("lanes as tokens", () => {
  test("usual names stand for themselves", () => {
    expect(laneToken("DEFAULT-POOL" as PoolCode)).toBe("DEFAULT-POOL");
    expect(laneToken("a.b" as PoolCode)).toBe("a=2Eb");
  });

  test("any lane can be read back, and no two share a token", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }), (text) => {
        const token = laneToken(text as PoolCode);
        if (token === null) return;
        expect(token).toMatch(/^[A-Za-z0-9_=-]{1,240}$/);
        expect(laneOfToken(token)).toBe(text as PoolCode);
      }),
    );
  });

  test("tokens of others are nobody's lane", () => {
    expect(["", "=", "=4", "=zz", "=2e", "=41", "=FF"].map(laneOfToken)).toEqual(Array(7).fill(null));
  });
});

test("any text comes back from a header", () => {
  expect(headerText("4 spaces: a-b")).toBe("4 spaces: a-b");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const header = headerText(text);
      expect(header).toBe(header.trim());
      expect(header).toMatch(/^[ -~]*$/);
      expect(textOfHeader(header)).toBe(text);
    }),
  );
});

test("receipts are read in each of their forms", () => {
  const parts = { consumer: "L", receiveCount: 2, seq: 70, publishedAtMs: 1_795_266_897_475 };
  expect(parseReceipt("$JS.ACK.S.L.2.70.5.1795266897475013587.0")).toEqual(parts);
  expect(parseReceipt("$JS.ACK.hub.hash.S.L.2.70.5.1795266897475013587.0.x1")).toEqual(parts);
  expect(["", "nonsense", "$JS.ACK.S.L.a.b.c.d.e", "$JS.ACK.S.L"].map(parseReceipt)).toEqual([null, null, null, null]);
});

describe("queue URLs", () => {
  const faultOf = (url: string): string => {
    try {
      parseNatsQueueUrl(url);
      return "none";
    } catch (error) {
      return error instanceof Error ? error.message : "";
    }
  };

  test("say where, as whom, and how", () => {
    expect(parseNatsQueueUrl("nats://h")).toMatchObject({
      servers: ["h:4222"],
      isTls: false,
      credentials: { kind: "none" },
      streamName: "FLOWCATALYST",
      replicas: null,
      maxAckPending: 200_000,
    });
    const full = "tls://us%3Aer:p%40ss@a:1,[::1]:2/ORDERS?replicas=3&dedup_window_secs=5&max_msgs=9&ca=/ca.pem";
    expect(parseNatsQueueUrl(full)).toMatchObject({
      servers: ["a:1", "[::1]:2"],
      isTls: true,
      credentials: { kind: "user", user: "us:er", password: "p@ss" },
      streamName: "ORDERS",
      replicas: 3,
      dedupWindowMs: 5_000,
      maxMessages: 9,
      caFile: "/ca.pem",
    });
    expect(parseNatsQueueUrl("nats://secret@h/").credentials).toEqual({ kind: "token", token: "secret" });
    expect(parseNatsQueueUrl("nats://h?creds=/x.creds").credentials).toEqual({ kind: "creds", file: "/x.creds" });
  });

  test("that are wrong are refused in one line, without what is secret", () => {
    const wrong = [
      ["http://h", "must look like nats://"],
      ["nats://u:hunter2@h:x/N", "names a server that is not host:port: h:x"],
      ["nats://h/a.b", 'names the stream "a.b"'],
      ["nats://h/N?replicas=9", "has replicas=9; use a whole number from 1 to 5"],
      ["nats://h/N?speed=9", "has the unknown parameter speed"],
      ["nats://h/N?max_msgs=1&max_msgs=2", "has max_msgs twice"],
      ["nats://u:hunter2@h/N?creds=x", "gives more than one of"],
      ["nats://u:x/hunter2@h/N", "has an @ that does not end its user and password"],
      ["nats://u:1/hunter2@h:4222/N", "has an @ that does not end"],
      ["nats://u:x?hunter2@h/N", "has an @ that does not end"],
    ] as const;
    for (const [url, fault] of wrong) {
      expect(faultOf(url)).toContain(`The queue's URL for NATS ${fault}`);
      expect(faultOf(url)).not.toContain("hunter2");
    }
  });
});
