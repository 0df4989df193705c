import { describe, expect, test } from "bun:test";
import { deliveryHeaderNames as names } from "@flowcatalyst/contracts";
import { FakeClock } from "@flowcatalyst/foundation";
import { Webhook } from "standardwebhooks";
import { legacySignature, signingKeyOf, type SigningKey } from "../domain/signature.ts";
import { createSignatureCheck } from "./received-signature.ts";

const current = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const former = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const encoder = new TextEncoder();
const body = encoder.encode('{"n":1}');

function setup() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const secrets = async (ref: string): Promise<readonly string[]> => {
    asked.push(ref);
    return ref === "subscription:sub_1" ? [current, former] : [];
  };
  return { clock, asked, check: createSignatureCheck({ secrets, clock }) };
}

function keyOf(secret: string): SigningKey {
  const key = signingKeyOf(secret);
  if (key === null) throw new Error("the secret of the test is one");
  return key;
}

/** As a sender who uses the published library signs it. */
function standard(atMs: number, secret = current): Record<string, string> {
  return {
    [names.subscriptionId]: "sub_1",
    [names.webhookId]: "job_1",
    [names.webhookTimestamp]: String(Math.floor(atMs / 1_000)),
    [names.webhookSignature]: new Webhook(secret).sign("job_1", new Date(atMs), '{"n":1}'),
  };
}

function legacy(atMs: number, secret = current): Record<string, string> {
  const timestamp = new Date(atMs).toISOString();
  return {
    [names.subscriptionId]: "sub_1",
    [names.legacyTimestamp]: timestamp,
    [names.legacySignature]: legacySignature({ timestamp, body }, keyOf(secret)),
  };
}

describe("the signature of what came", () => {
  test("is right with any secret that is valid now, in either scheme or both", async () => {
    const { clock, check } = setup();
    const nowMs = clock.now();
    expect(await check(new Headers(standard(nowMs)), body)).toBe("verified");
    expect(await check(new Headers(standard(nowMs, former)), body)).toBe("verified");
    expect(await check(new Headers(legacy(nowMs)), body)).toBe("verified");
    expect(await check(new Headers({ ...standard(nowMs), ...legacy(nowMs) }), body)).toBe("verified");
    const two = `v1,AAAA ${standard(nowMs)[names.webhookSignature]}`;
    expect(await check(new Headers({ ...standard(nowMs), [names.webhookSignature]: two }), body)).toBe("verified");
  });

  test("is wrong if either scheme is", async () => {
    const { clock, check } = setup();
    const nowMs = clock.now();
    const other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    expect(await check(new Headers(standard(nowMs, other)), body)).toBe("invalid");
    expect(await check(new Headers({ ...standard(nowMs), ...legacy(nowMs, other) }), body)).toBe("invalid");
    expect(await check(new Headers({ ...standard(nowMs, other), ...legacy(nowMs) }), body)).toBe("invalid");
    expect(await check(new Headers(standard(nowMs)), encoder.encode('{"n":2}'))).toBe("invalid");
    expect(await check(new Headers({ ...standard(nowMs), [names.webhookId]: "job_2" }), body)).toBe("invalid");
    const unknown = { ...standard(nowMs), [names.subscriptionId]: "sub_2" };
    expect(await check(new Headers(unknown), body)).toBe("invalid");
  });

  test("is wrong five minutes before and after its time, or without a time", async () => {
    const { clock, check } = setup();
    const nowMs = clock.now();
    for (const awayMs of [-301_000, 301_000]) {
      expect(await check(new Headers(standard(nowMs + awayMs)), body)).toBe("invalid");
      expect(await check(new Headers(legacy(nowMs + awayMs)), body)).toBe("invalid");
    }
    expect(await check(new Headers(standard(nowMs - 299_000)), body)).toBe("verified");
    for (const timestamp of ["", "soon", "Infinity"]) {
      const headers = { ...standard(nowMs), [names.webhookTimestamp]: timestamp };
      expect(await check(new Headers(headers), body)).toBe("invalid");
    }
  });

  test("cannot be told where none is, or where no subscription is named", async () => {
    const { clock, asked, check } = setup();
    const { [names.subscriptionId]: _, ...anonymous } = standard(clock.now());
    expect(await check(new Headers(), body)).toBe("unsigned");
    expect(await check(new Headers(anonymous), body)).toBe("unverifiable");
    expect(asked).toEqual([]);
  });
});
