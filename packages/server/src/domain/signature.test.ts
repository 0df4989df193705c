import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import vectorsFile from "../../../../docs/reference/webhook-vectors.json" with { type: "json" };
import { legacySignature, signingKeyOf, standardSignature, type SigningKey } from "./signature.ts";

function keyOf(secret: string): SigningKey {
  const key = signingKeyOf(secret);
  if (key === null) throw new Error(`not a secret: ${secret}`);
  return key;
}

/** Published vectors: the reference libraries' own, and two of the scheme's manual verification guides. */
const vectors = [
  {
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: "1614265330",
    body: '{"test": 2432232314}',
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  },
  {
    secret: "whsec_plJ3nmyCDGBKInavdOK15jsl",
    id: "msg_loFOjxBNrRLzqYUf",
    timestamp: "1731705121",
    body: '{"event_type":"ping","data":{"success":true}}',
    signature: "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
  },
  {
    secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
    timestamp: "1649367553",
    body: '{"email":"test@example.com","username":"test_user"}',
    signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
  },
] as const;

const aSecret = `whsec_${Buffer.from("0123456789abcdef01234567").toString("base64")}`;

describe("Standard Webhooks", () => {
  test.each(vectors)("published vector $id", ({ secret, id, timestamp, body, signature }) => {
    expect(standardSignature({ id, timestamp, body }, [keyOf(secret)])).toBe(signature);
  });

  test("its own library verifies what we sign, whatever the body", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 64 }), fc.string({ unit: "grapheme" }), (bytes, body) => {
        const secret = `whsec_${Buffer.from(bytes).toString("base64")}`;
        const timestamp = String(Math.floor(Date.now() / 1_000));
        const signature = standardSignature({ id: "job_1", timestamp, body }, [keyOf(secret)]);
        const headers = { "webhook-id": "job_1", "webhook-timestamp": timestamp, "webhook-signature": signature };
        expect(() => new Webhook(secret).verify(body, headers, { jsonParse: false })).not.toThrow();
      }),
    );
  });

  test("during a rotation a receiver with either secret verifies", () => {
    const secrets = [vectors[0].secret, vectors[1].secret];
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signature = standardSignature({ id: "job_1", timestamp, body: "{}" }, secrets.map(keyOf));
    expect(signature.split(" ")).toHaveLength(2);
    const headers = { "webhook-id": "job_1", "webhook-timestamp": timestamp, "webhook-signature": signature };
    for (const secret of secrets) expect(() => new Webhook(secret).verify("{}", headers)).not.toThrow();
  });

  test("a key signs again and again, text and bytes alike", () => {
    const key = keyOf(aSecret);
    const first = standardSignature({ id: "a", timestamp: "1", body: "x" }, [key]);
    standardSignature({ id: "b", timestamp: "2", body: "y" }, [key]);
    expect(standardSignature({ id: "a", timestamp: "1", body: Buffer.from("x") }, [key])).toBe(first);
  });
});

test("the older scheme is hex HMAC-SHA256 of timestamp and body under the secret's text", () => {
  const timestamp = "2026-01-01T00:00:00.000Z";
  const expected = createHmac("sha256", aSecret).update(`${timestamp}{"a":1}`).digest("hex");
  expect(legacySignature({ timestamp, body: '{"a":1}' }, keyOf(aSecret))).toBe(expected);
});

test.each(["", "whsec_", "whsec_not base64!", "=="])("%p is not a secret", (secret) => {
  expect(signingKeyOf(secret)).toBeNull();
});

test("a secret without the prefix is base64 too", () => {
  const content = { id: "a", timestamp: "1", body: "x" };
  const bare = aSecret.slice("whsec_".length);
  expect(standardSignature(content, [keyOf(bare)])).toBe(standardSignature(content, [keyOf(aSecret)]));
});

/** The vectors that receivers in other languages are proved with. */
const published: readonly {
  readonly scheme: string;
  readonly bodyBase64: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly secrets: readonly string[];
  readonly verifies: boolean;
}[] = vectorsFile.vectors;

test("the published vectors that verify are signed as we sign", () => {
  for (const { scheme, bodyBase64, headers, secrets, verifies } of published) {
    const body = Buffer.from(bodyBase64, "base64");
    const id = headers["webhook-id"] ?? "";
    const timestamp = headers[scheme === "standard" ? "webhook-timestamp" : "x-flowcatalyst-timestamp"] ?? "";
    const given = headers[scheme === "standard" ? "webhook-signature" : "x-flowcatalyst-signature"] ?? "";
    const ours = secrets.map(keyOf).map((key) => {
      return scheme === "standard"
        ? standardSignature({ id, timestamp, body }, [key])
        : legacySignature({ timestamp, body }, key);
    });
    if (verifies) expect(ours.some((signature) => given.split(" ").includes(signature))).toBe(true);
  }
  expect(published.filter(({ verifies }) => verifies).length).toBeGreaterThan(15);
});
