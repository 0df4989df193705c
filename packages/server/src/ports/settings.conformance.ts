import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { PoolCode } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import { clientA, clientB, createSamples, type SampleEntities } from "./sample-entities.fixture.ts";
import type {
  DispatchPoolRepository,
  EventTypeRepository,
  Page,
  PageRequest,
  SubscriptionReader,
  SubscriptionRepository,
} from "./settings.ts";

/** Fresh, empty settings. */
export interface SettingsFixture {
  readonly subscriptions: SubscriptionRepository;
  readonly subscriptionReader: SubscriptionReader;
  readonly pools: DispatchPoolRepository;
  readonly eventTypes: EventTypeRepository;
  close(): Promise<void>;
}

const firstPage: PageRequest = { limit: 50, cursor: null };
const scopeA = { kind: "client", clientId: clientA } as const;

export function describeSettingsConformance(name: string, setup: () => Promise<SettingsFixture>): void {
  describe(`${name}: settings`, () => {
    let settings: SettingsFixture;
    let samples: SampleEntities;
    beforeEach(async () => {
      settings = await setup();
      samples = createSamples();
    });
    afterEach(() => settings.close());

    const fault = (work: Promise<unknown>): Promise<unknown> =>
      work.then(
        () => undefined,
        (error: unknown) => error,
      );

    async function readAll<Item>(list: (page: PageRequest) => Promise<Page<Item>>, limit: number): Promise<Item[]> {
      const items: Item[] = [];
      let cursor: string | null = null;
      do {
        const page: Page<Item> = await list({ limit, cursor });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        items.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor !== null);
      return items;
    }

    describe("subscriptions", () => {
      test("come back exactly as they were given", async () => {
        const given = samples.subscription({
          code: "orders",
          clientId: clientA,
          eventTypes: [
            { pattern: "order.*", filter: "data.total > 10" },
            { pattern: "a:b:c:**", filter: null },
          ],
          filter: 'event.source == "/é"',
          headers: { "x-a": "1", "x-ü": "2" },
          pauseReason: "TARGET_GONE",
          status: "PAUSED",
          leaseExpiresAtMs: 5,
        });
        expect(await settings.subscriptions.create(given)).toEqual({ kind: "created", entity: given });
        expect(await settings.subscriptions.byId(given.id, anchorScope)).toEqual(given);
      });

      test("code and name are unique within a client, and compared exactly", async () => {
        const first = samples.subscription({ code: "orders", name: "Orders" });
        await settings.subscriptions.create(first);
        const create = (changes: Parameters<typeof samples.subscription>[0]) =>
          settings.subscriptions.create(samples.subscription(changes));
        expect(await create({ code: "orders" })).toEqual({ kind: "duplicate", field: "code", existing: first });
        expect(await create({ name: "Orders" })).toEqual({ kind: "duplicate", field: "name", existing: first });
        expect(await create({ code: "Orders", name: "orders" })).toMatchObject({ kind: "created" });
        expect(await create({ code: "orders", name: "Orders", clientId: clientA })).toMatchObject({ kind: "created" });
        expect(await create({ code: null })).toMatchObject({ kind: "created" });
        expect(await create({ code: null })).toMatchObject({ kind: "created" });
      });

      test("an archived one frees its code and name", async () => {
        const first = samples.subscription({ code: "orders", name: "Orders" });
        await settings.subscriptions.create(first);
        await settings.subscriptions.replace({ ...first, status: "ARCHIVED", version: 2 }, 1);
        const second = samples.subscription({ code: "orders", name: "Orders" });
        expect(await settings.subscriptions.create(second)).toMatchObject({ kind: "created" });
        const back = { ...first, status: "ACTIVE" as const, version: 3 };
        expect(await settings.subscriptions.replace(back, 2)).toEqual({ kind: "duplicate", field: "code" });
      });

      test("are replaced only on top of the version that was read", async () => {
        const first = samples.subscription();
        await settings.subscriptions.create(first);
        const second = { ...first, name: "Second", version: 2 };
        expect(await settings.subscriptions.replace(second, 1)).toEqual({ kind: "updated", entity: second });
        const late = { ...first, name: "Late", version: 2 };
        const mismatch = { kind: "versionMismatch" as const, current: second };
        expect(await settings.subscriptions.replace(late, 1)).toEqual(mismatch);
        expect(await settings.subscriptions.byId(first.id, anchorScope)).toEqual(second);
        expect(await settings.subscriptions.replace(samples.subscription(), 1)).toEqual({ kind: "notFound" });
      });

      test("of concurrent replacements one wins", async () => {
        const first = samples.subscription();
        await settings.subscriptions.create(first);
        const results = await Promise.all(
          Array.from({ length: 10 }, (_, n) =>
            settings.subscriptions.replace({ ...first, name: `n${n}`, version: 2 }, 1),
          ),
        );
        expect(results.filter((result) => result.kind === "updated")).toHaveLength(1);
        expect(results.filter((result) => result.kind === "versionMismatch")).toHaveLength(9);
      });

      test("a rename collides with another's name, not with its own", async () => {
        const [one, two] = [samples.subscription({ name: "one" }), samples.subscription({ name: "two" })];
        await settings.subscriptions.create(one);
        await settings.subscriptions.create(two);
        const clash = await settings.subscriptions.replace({ ...two, name: "one", version: 2 }, 1);
        expect(clash).toEqual({ kind: "duplicate", field: "name" });
        const same = await settings.subscriptions.replace({ ...two, timeoutSeconds: 5, version: 2 }, 1);
        expect(same).toMatchObject({ kind: "updated" });
      });

      test("are listed by filter, in pages that neither repeat nor miss any", async () => {
        const paused = Array.from({ length: 7 }, () => samples.subscription({ status: "PAUSED" }));
        const active = Array.from({ length: 5 }, () => samples.subscription({ clientId: clientA, code: null }));
        for (const one of [...paused, ...active]) await settings.subscriptions.create(one);
        const list = settings.subscriptions.list.bind(settings.subscriptions);
        const everything = await readAll((page) => list({}, page, anchorScope), 5);
        expect(everything.map((one) => one.id)).toEqual([...paused, ...active].map((one) => one.id));
        const byStatus = await readAll((page) => list({ status: "PAUSED" }, page, anchorScope), 3);
        expect(byStatus).toEqual(paused);
        expect((await list({ clientId: clientA }, firstPage, anchorScope)).items).toEqual(active);
        expect((await list({ clientId: null }, firstPage, anchorScope)).items).toEqual(paused);
        expect((await list({ name: active[2]!.name }, firstPage, anchorScope)).items).toEqual([active[2]!]);
        expect((await list({ code: "none" }, firstPage, anchorScope)).items).toEqual([]);
        const counted = await list({ status: "PAUSED" }, { limit: 2, cursor: null }, anchorScope);
        expect([null, 7]).toContain(counted.total);
      });

      test("a page of exactly the last rows has no next one", async () => {
        for (let n = 0; n < 4; n++) await settings.subscriptions.create(samples.subscription());
        const page = await settings.subscriptions.list({}, { limit: 4, cursor: null }, anchorScope);
        expect(page.nextCursor).toBeNull();
      });

      test("a text that is no cursor is CURSOR_INVALID", async () => {
        for (const cursor of ["", "?", "abc", Buffer.from('{"a":1}').toString("base64url")]) {
          const error = await fault(settings.subscriptions.list({}, { limit: 5, cursor }, anchorScope));
          expect(error).toMatchObject({ code: "CURSOR_INVALID" });
        }
      });

      test("a tenant sees its own and the platform's", async () => {
        const [platform, own, other] = [null, clientA, clientB].map((clientId) => samples.subscription({ clientId }));
        for (const one of [platform!, own!, other!]) await settings.subscriptions.create(one);
        const page = await settings.subscriptions.list({}, firstPage, scopeA);
        expect(page.items).toEqual([platform!, own!]);
        expect(await settings.subscriptions.byId(own!.id, scopeA)).toEqual(own!);
        expect(await settings.subscriptions.byId(other!.id, scopeA)).toBeNull();
        expect((await settings.subscriptions.list({ clientId: clientB }, firstPage, scopeA)).items).toEqual([]);
      });

      test("the stream reads active and paused ones, and its revision rises with each change only", async () => {
        const reader = settings.subscriptionReader;
        const revisions = [await reader.revision()];
        const [active, paused, archived] = [
          samples.subscription(),
          samples.subscription({ status: "PAUSED" }),
          samples.subscription(),
        ];
        for (const one of [active, paused, archived]) {
          await settings.subscriptions.create(one);
          revisions.push(await reader.revision());
        }
        await settings.subscriptions.replace({ ...archived, status: "ARCHIVED", version: 2 }, 1);
        revisions.push(await reader.revision());
        expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
        expect(await reader.matching()).toEqual([active, paused]);
        await settings.subscriptions.replace({ ...active, version: 2 }, 7);
        await settings.subscriptions.create(samples.subscription({ name: active.name }));
        expect(await reader.revision()).toBe(revisions.at(-1)!);
      });
    });

    describe("dispatch pools", () => {
      test("are created, read by id and by code, replaced and listed", async () => {
        const pool = samples.pool({ name: "Pool", rateLimitPerMinute: 60, burst: 5, timeoutSeconds: 9 });
        expect(await settings.pools.create(pool)).toEqual({ kind: "created", entity: pool });
        expect(await settings.pools.byId(pool.id, anchorScope)).toEqual(pool);
        expect(await settings.pools.byCode(pool.code, anchorScope)).toEqual(pool);
        const suspended = { ...pool, status: "SUSPENDED" as const, version: 2 };
        expect(await settings.pools.replace(suspended, 1)).toEqual({ kind: "updated", entity: suspended });
        expect(await settings.pools.replace(suspended, 1)).toEqual({ kind: "versionMismatch", current: suspended });
        const others = [samples.pool(), samples.pool()];
        for (const one of others) await settings.pools.create(one);
        const listed = await readAll((page) => settings.pools.list(page, anchorScope), 2);
        expect(listed).toEqual([suspended, ...others]);
      });

      test("a code is a lane, so it is unique over all clients", async () => {
        const pool = samples.pool({ clientId: clientA });
        await settings.pools.create(pool);
        const clash = await settings.pools.create(samples.pool({ code: pool.code, clientId: clientB }));
        expect(clash).toEqual({ kind: "duplicate", field: "code", existing: pool });
      });

      test("one that a live subscription names is not removed", async () => {
        const pool = samples.pool({ code: "FAST" as PoolCode });
        await settings.pools.create(pool);
        const subscription = samples.subscription({ poolCode: pool.code });
        await settings.subscriptions.create(subscription);
        expect(await settings.pools.remove(pool.id)).toBe("inUse");
        await settings.subscriptions.replace({ ...subscription, status: "ARCHIVED", version: 2 }, 1);
        expect(await settings.pools.remove(pool.id)).toBe("removed");
        expect(await settings.pools.remove(pool.id)).toBe("notFound");
        expect(await settings.pools.byCode(pool.code, anchorScope)).toBeNull();
      });

      test("a tenant sees its own and the platform's", async () => {
        const [platform, own, other] = [null, clientA, clientB].map((clientId) => samples.pool({ clientId }));
        for (const one of [platform!, own!, other!]) await settings.pools.create(one);
        expect((await settings.pools.list(firstPage, scopeA)).items).toEqual([platform!, own!]);
        expect(await settings.pools.byCode(other!.code, scopeA)).toBeNull();
        expect(await settings.pools.byId(other!.id, scopeA)).toBeNull();
      });
    });

    describe("event types", () => {
      test("are created, read by id and by code, replaced, listed and removed", async () => {
        const type = samples.eventType({ code: "shop:sales:order:placed", description: "d" });
        expect(await settings.eventTypes.create(type)).toEqual({ kind: "created", entity: type });
        expect(await settings.eventTypes.byId(type.id, anchorScope)).toEqual(type);
        expect(await settings.eventTypes.byCode(type.code, anchorScope)).toEqual(type);
        const archived = { ...type, status: "ARCHIVED" as const, version: 2 };
        expect(await settings.eventTypes.replace(archived, 1)).toEqual({ kind: "updated", entity: archived });
        const other = samples.eventType({ code: "bank:core:account:opened" });
        await settings.eventTypes.create(other);
        const list = settings.eventTypes.list.bind(settings.eventTypes);
        expect((await list({}, firstPage, anchorScope)).items).toEqual([archived, other]);
        expect((await list({ application: "bank" }, firstPage, anchorScope)).items).toEqual([other]);
        expect((await list({ status: "ARCHIVED" }, firstPage, anchorScope)).items).toEqual([archived]);
        expect(await readAll((page) => list({}, page, anchorScope), 1)).toEqual([archived, other]);
        expect(await settings.eventTypes.remove(type.id)).toBe("removed");
        expect(await settings.eventTypes.remove(type.id)).toBe("notFound");
        expect(await settings.eventTypes.byId(type.id, anchorScope)).toBeNull();
      });

      test("a code is unique within a client, archived ones aside", async () => {
        const type = samples.eventType();
        await settings.eventTypes.create(type);
        const clash = await settings.eventTypes.create(samples.eventType({ code: type.code }));
        expect(clash).toEqual({ kind: "duplicate", field: "code", existing: type });
        const own = samples.eventType({ code: type.code, clientId: clientA });
        expect(await settings.eventTypes.create(own)).toMatchObject({ kind: "created" });
        await settings.eventTypes.replace({ ...type, status: "ARCHIVED", version: 2 }, 1);
        const next = samples.eventType({ code: type.code });
        expect(await settings.eventTypes.create(next)).toMatchObject({ kind: "created" });
        expect(await settings.eventTypes.byCode(type.code, anchorScope)).toEqual(next);
      });

      test("a tenant finds its own before the platform's, and never another tenant's", async () => {
        const code = "shop:sales:order:placed";
        const [platform, own, other] = [null, clientA, clientB].map((clientId) =>
          samples.eventType({ code, clientId }),
        );
        await settings.eventTypes.create(other!);
        expect(await settings.eventTypes.byCode(code, scopeA)).toBeNull();
        await settings.eventTypes.create(platform!);
        expect(await settings.eventTypes.byCode(code, scopeA)).toEqual(platform!);
        await settings.eventTypes.create(own!);
        expect(await settings.eventTypes.byCode(code, scopeA)).toEqual(own!);
        expect(await settings.eventTypes.byCode(code, anchorScope)).toEqual(platform!);
      });

      test("the revision rises with each change", async () => {
        const revisions = [await settings.eventTypes.revision()];
        const type = samples.eventType();
        await settings.eventTypes.create(type);
        revisions.push(await settings.eventTypes.revision());
        await settings.eventTypes.replace({ ...type, version: 2 }, 1);
        revisions.push(await settings.eventTypes.revision());
        await settings.eventTypes.remove(type.id);
        revisions.push(await settings.eventTypes.revision());
        expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      });
    });
  });
}
