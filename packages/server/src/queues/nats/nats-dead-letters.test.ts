import { describe, expect, test } from "bun:test";
import { headers } from "@nats-io/transport-node";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import { packLetter, type NewDeadLetter } from "./nats-dead-letters.ts";
import { shortHeaderText, textOfHeader } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";

const maxPayload = 1_048_576;

function packed(letter: Partial<NewDeadLetter>) {
  const whole = { seq: 7, publishedAtMs: 99, id: null, lane: null, reason: "MESSAGE_INVALID: it", ...letter };
  const { entries, body } = packLetter({ body: new Uint8Array(), ...whole }, "S", maxPayload);
  const made = headers();
  for (const [name, value] of entries) made.set(name, value);
  const encoded = "encode" in made && typeof made.encode === "function" ? made.encode() : null;
  if (!(encoded instanceof Uint8Array)) throw new Error("The library does not tell what its headers become.");
  return { headers: made, body, headerBytes: encoded.length, bytes: encoded.length + body.length };
}

describe("what a dead letter becomes", () => {
  test("a letter that fits is whole", () => {
    const { headers: made, body } = packed({ id: "ü" as MessageId, lane: "a b" as PoolCode, body: new Uint8Array(9) });
    expect(textOfHeader(made.get("Fc-Id"))).toBe("ü");
    expect(textOfHeader(made.get("Fc-Lane"))).toBe("a b");
    expect(made.get("Fc-Reason")).toBe("MESSAGE_INVALID: it");
    expect(made.get("Nats-Msg-Id")).toBe("S:7:99");
    expect(body).toHaveLength(9);
  });

  test.each(["€", "\n", "%", "😀", "\ud800", "x", " "])("%j without end fits all the same", (character) => {
    const long = character.repeat(200_000);
    const body = new Uint8Array(maxPayload);
    const letter = packed({ id: long as MessageId, lane: long as PoolCode, reason: long, body });
    expect(letter.headerBytes).toBeLessThan(natsQueueLimits.headerMaxBytes);
    expect(letter.bytes).toBeLessThanOrEqual(maxPayload);
    expect(letter.bytes).toBeGreaterThan(maxPayload - 10);
    const reason = textOfHeader(letter.headers.get("Fc-Reason"));
    expect(reason).toEndWith(`(the body is cut to its first ${letter.body.length} of ${maxPayload} bytes)`);
    expect(letter.headers.get("Fc-Body-Cut")).toBe(String(maxPayload));
  });

  test("the longest id that a message can have is told whole", () => {
    const id = "€".repeat(255) as MessageId;
    expect(textOfHeader(packed({ id }).headers.get("Fc-Id"))).toBe(id);
  });

  test("no character is cut in two", () => {
    expect(shortHeaderText("€€", 17)).toBe("%E2%82%AC");
    expect(shortHeaderText("ab c", 3)).toBe("ab%20".slice(0, 2));
    expect(shortHeaderText("plain text", 6)).toBe("plain%20".slice(0, 5));
  });
});
