import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { APP_KEY_FILE, loadOrCreateAppKey } from "./app-key-file.ts";
import { CodedError } from "./coded-error.ts";
import type { ErrorCode } from "./error-codes.ts";
import { createSecretBox, newAppKey } from "./secret-box.ts";

function faultOf(act: () => unknown): CodedError | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
}

function codeOf(act: () => unknown): ErrorCode | undefined {
  return faultOf(act)?.code;
}

describe("secret box", () => {
  test("property: opens what it sealed, and only at its own place", () => {
    const box = createSecretBox(newAppKey());
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string(), fc.string(), (plaintext, aad, otherPlace) => {
        const sealed = box.seal(plaintext, aad);
        expect(box.open(sealed, aad)).toBe(plaintext);
        if (otherPlace !== aad) expect(codeOf(() => box.open(sealed, otherPlace))).toBe("SECRET_UNREADABLE");
      }),
    );
  });

  test("two sealings of one text differ and do not show it", () => {
    const box = createSecretBox(newAppKey());
    const [one, other] = [box.seal("whsec_abc", "sub_1"), box.seal("whsec_abc", "sub_1")];
    expect(one).not.toBe(other);
    expect(one).toMatch(/^fcs1\.[0-9a-f]{8}\.[A-Za-z0-9_-]+$/);
    expect(one).not.toContain("whsec");
  });

  test("any changed character is noticed", () => {
    const box = createSecretBox(newAppKey());
    const sealed = box.seal("a secret of some length", "sub_1");
    for (let i = 0; i < sealed.length - 1; i++) {
      const changed = sealed.slice(0, i) + (sealed[i] === "A" ? "B" : "A") + sealed.slice(i + 1);
      expect(codeOf(() => box.open(changed, "sub_1"))).toBe("SECRET_UNREADABLE");
    }
    for (const text of ["", "fcs1", "fcs1.x.y", "plain", `${sealed}.x`]) {
      expect(codeOf(() => box.open(text, "sub_1"))).toBe("SECRET_UNREADABLE");
    }
  });

  test("keys rotate: the first seals, each opens, and old sealings are recognised", () => {
    const [oldKey, newKey] = [newAppKey(), newAppKey()];
    const sealedBefore = createSecretBox(oldKey).seal("s", "a");
    const rotated = createSecretBox(`${newKey}, ${oldKey}`);
    expect(rotated.open(sealedBefore, "a")).toBe("s");
    expect(rotated.needsReseal(sealedBefore)).toBe(true);
    const resealed = rotated.seal("s", "a");
    expect(rotated.needsReseal(resealed)).toBe(false);
    expect(createSecretBox(newKey).open(resealed, "a")).toBe("s");
    expect(codeOf(() => createSecretBox(newKey).open(sealedBefore, "a"))).toBe("SECRET_UNREADABLE");
  });

  test("a key that is none is refused, without printing it", () => {
    const short = Buffer.alloc(16, 7).toString("base64");
    for (const text of ["", "hunter2!", short, `${newAppKey()},`, `${newAppKey()},hunter2`]) {
      const error = faultOf(() => createSecretBox(text));
      expect(error?.code).toBe("APP_KEY_INVALID");
      expect(error?.message).not.toContain("hunter2");
      expect(error?.message).not.toContain(short);
    }
    const urlSafe = newAppKey().replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    expect(createSecretBox(urlSafe).open(createSecretBox(urlSafe).seal("x", ""), "")).toBe("x");
  });
});

describe("key file", () => {
  const dirs: string[] = [];
  afterEach(() => {
    for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
  });
  function setup(): string {
    const dir = mkdtempSync(join(tmpdir(), "fc-key-"));
    dirs.push(dir);
    return dir;
  }

  test("is made once, for its owner only, and then kept", () => {
    const dir = join(setup(), "data");
    const key = loadOrCreateAppKey(dir);
    expect(loadOrCreateAppKey(dir)).toBe(key);
    expect(statSync(join(dir, APP_KEY_FILE)).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual([APP_KEY_FILE]);
  });

  test("a damaged one is refused rather than replaced: sealed secrets need it", () => {
    const dir = setup();
    writeFileSync(join(dir, APP_KEY_FILE), "not a key");
    expect(codeOf(() => loadOrCreateAppKey(dir))).toBe("APP_KEY_INVALID");
    expect(existsSync(join(dir, APP_KEY_FILE))).toBe(true);
  });

  test("a data directory that is a file is one clear error", () => {
    const path = join(setup(), "data");
    writeFileSync(path, "");
    expect(codeOf(() => loadOrCreateAppKey(path))).toBe("DATA_DIR_NOT_WRITABLE");
  });

  test("a directory that cannot be written is one clear error", () => {
    // Nobody, not even root, makes a directory there; where there is no /proc, only root could.
    expect(codeOf(() => loadOrCreateAppKey("/proc/flowcatalyst-data"))).toBe("DATA_DIR_NOT_WRITABLE");
  });
});
