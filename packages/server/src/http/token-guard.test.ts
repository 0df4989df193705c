import { expect, test } from "bun:test";
import { createTokenGuard } from "./token-guard.ts";

test("a configured token is recognised, whatever the case of the scheme", () => {
  const guard = createTokenGuard(["first-token", "second-token"]);
  expect(guard.required).toBe(true);
  expect(guard.match("Bearer first-token")).toBe(0);
  expect(guard.match("bearer second-token")).toBe(1);
});

test("everything else is not", () => {
  const guard = createTokenGuard(["first-token"]);
  for (const header of [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    "first-token",
    "Basic first-token",
    "Bearer first-tokens",
  ]) {
    expect(guard.match(header)).toBe(-1);
  }
});

test("an empty token in the configuration lets nobody in", () => {
  const guard = createTokenGuard([""]);
  expect(guard.required).toBe(true);
  for (const header of [undefined, "", "Bearer", "Bearer "]) expect(guard.match(header)).toBe(-1);
});

test("without tokens nothing is required, and nothing matches", () => {
  const guard = createTokenGuard([]);
  expect(guard.required).toBe(false);
  expect(guard.match("Bearer ")).toBe(-1);
});
