import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { SecretStore } from "./secret-store.ts";

/** A fresh, empty store. `rawContents` is everything it keeps, as text, to look for what must not be there. */
export interface SecretStoreFixture {
  readonly secrets: SecretStore;
  now(): number;
  advance(ms: number): Promise<void>;
  rawContents(): Promise<string>;
  close(): Promise<void>;
}

const dayMs = 86_400_000;
const secret = (name: string): string => `whsec_${Buffer.from(`secret ${name}`.padEnd(32, ".")).toString("base64")}`;

export function describeSecretStoreConformance(name: string, setup: () => Promise<SecretStoreFixture>): void {
  describe(`${name}: secret store`, () => {
    let store: SecretStoreFixture;
    beforeEach(async () => {
      store = await setup();
    });
    afterEach(() => store.close());
    const valid = (ref: string): Promise<readonly string[]> => store.secrets.valid(ref, store.now());

    test("an unknown ref has none", async () => {
      expect(await valid("subscription:sub_1")).toEqual([]);
    });

    test("gives back what was put, under its ref only", async () => {
      await store.secrets.put("subscription:sub_1", secret("a"), store.now());
      await store.secrets.put("client:cli_1", secret("b"), store.now());
      expect(await valid("subscription:sub_1")).toEqual([secret("a")]);
      expect(await valid("client:cli_1")).toEqual([secret("b")]);
    });

    test("after a rotation the new one comes first, and the old one stays valid until the overlap ends", async () => {
      await store.secrets.put("r", secret("old"), store.now());
      expect(await valid("r")).toEqual([secret("old")]);
      await store.secrets.put("r", secret("new"), store.now() + dayMs);
      expect(await valid("r")).toEqual([secret("new"), secret("old")]);
      await store.advance(dayMs - 1);
      expect(await valid("r")).toEqual([secret("new"), secret("old")]);
      await store.advance(1);
      expect(await valid("r")).toEqual([secret("new")]);
      await store.advance(1_000 * dayMs);
      expect(await valid("r")).toEqual([secret("new")]);
    });

    test("a later rotation does not prolong an overlap that has begun", async () => {
      await store.secrets.put("r", secret("1"), store.now());
      await store.secrets.put("r", secret("2"), store.now() + 1_000);
      await store.secrets.put("r", secret("3"), store.now() + dayMs);
      await store.advance(1_000);
      expect(await valid("r")).toEqual([secret("3"), secret("2")]);
    });

    test("rotating over and over keeps a bounded number, the newest", async () => {
      for (let n = 0; n < 50; n++) await store.secrets.put("r", secret(`${n}`), store.now() + dayMs);
      const kept = await valid("r");
      expect(kept.length).toBeLessThanOrEqual(10);
      expect(kept[0]).toBe(secret("49"));
      expect(kept[1]).toBe(secret("48"));
    });

    test("what was removed is unknown", async () => {
      await store.secrets.put("r", secret("a"), store.now());
      await valid("r");
      await store.secrets.remove("r");
      expect(await valid("r")).toEqual([]);
      await store.secrets.remove("r");
    });

    test("keeps nothing readable", async () => {
      await store.secrets.put("r", secret("a"), store.now());
      const contents = await store.rawContents();
      expect(contents).toContain("r");
      expect(contents).not.toContain(secret("a").slice("whsec_".length));
      expect(contents).not.toContain("secret a");
    });
  });
}
