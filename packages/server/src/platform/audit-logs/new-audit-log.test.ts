import { describe, expect, test } from "bun:test";
import { isCodedError } from "@flowcatalyst/foundation";
import type { AuditLogId } from "../../domain/ids.ts";
import { anchorScope, type Scope } from "../../domain/scope.ts";
import { clientScope } from "../platform.fixture.ts";
import { newAuditLog } from "./new-audit-log.ts";

const told = { entityType: "Order", entityId: "7", operation: "CancelOrder" };
const read = (value: unknown, scope: Scope = anchorScope) =>
  newAuditLog(value, { id: "aud_1" as AuditLogId, nowMs: 1_000, scope });

describe("whose it is", () => {
  test("the sender's own unless it says otherwise, which a tenant may not", () => {
    expect<string | null>(read(told).clientId).toBeNull();
    expect<string | null>(read({ ...told, clientId: "cli_2" }).clientId).toBe("cli_2");
    expect<string | null>(read(told, clientScope("cli_1")).clientId).toBe("cli_1");
    try {
      read({ ...told, clientId: "cli_2" }, clientScope("cli_1"));
      expect.unreachable();
    } catch (error) {
      expect(isCodedError(error, "FORBIDDEN")).toBe(true);
    }
  });
});

describe("data", () => {
  test.each([
    [undefined, null],
    [null, null],
    [{ a: 1 }, '{"a":1}'],
    ['{ "a": 1 }', '{ "a": 1 }'],
    ["[1]", "[1]"],
    ["text", '"text"'],
    ["{broken", '"{broken"'],
    [0, "0"],
    [false, "false"],
  ])("%#", (data, text) => {
    expect(read({ ...told, data }).data).toBe(text);
  });

  test("nested without end is refused", () => {
    const deep = "[".repeat(501) + "]".repeat(501);
    expect(() => read({ ...told, data: deep })).toThrow("nested deeper than 500");
  });
});
