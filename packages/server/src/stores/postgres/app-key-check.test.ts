import { afterEach, beforeEach, expect, test } from "bun:test";
import { createSecretBox, newAppKey } from "@flowcatalyst/foundation";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { checkAppKey } from "./app-key-check.ts";
import { storeMigrations } from "./migrations.ts";

describeWithPostgres("the application key of a database", () => {
  let postgres: TestPostgres;
  const [first, second] = [newAppKey(), newAppKey()];
  const check = (keys: string): Promise<void> => checkAppKey(postgres.database, createSecretBox(keys));
  beforeEach(async () => {
    postgres = await openTestPostgres([storeMigrations]);
  });
  afterEach(() => postgres.close());

  test("is that of the first process; another one is refused", async () => {
    await check(first);
    await check(first);
    expect(await check(second).catch((error: unknown) => error)).toMatchObject({ code: "APP_KEY_DIFFERS" });
  });

  test("is rotated: the new one beside the old one, then the old one goes", async () => {
    await check(first);
    await check(`${first},${second}`);
    await check(first);
    await check(`${second},${first}`);
    await check(`${first},${second}`);
    await check(`${second},${first}`);
    await check(second);
    expect(await check(first).catch((error: unknown) => error)).toMatchObject({ code: "APP_KEY_DIFFERS" });
  });

  test("of processes that start at once with two keys, one wins", async () => {
    const results = await Promise.allSettled([check(first), check(second)]);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });
});
