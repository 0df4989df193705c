import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { NewAuditLog } from "../domain/audit-log.ts";
import type { AuditLogId } from "../domain/ids.ts";
import { anchorScope, type Scope } from "../domain/scope.ts";
import { auditLogPageLimits, type AuditLogFilter, type AuditLogs } from "./audit-log.ts";
import type { Housekeeping } from "./housekeeping.ts";
import type { LeaseStore } from "./lease.ts";
import { clientA, clientB, createSamples, sampleTimeMs, type SampleEntities } from "./sample-entities.fixture.ts";

/** A fresh, empty store. */
export interface AuditLogFixture {
  readonly auditLogs: AuditLogs;
  readonly housekeeping: Pick<Housekeeping, "dropAuditLogs">;
  readonly leases: LeaseStore;
  close(): Promise<void>;
}

const scopeA: Scope = { kind: "client", clientId: clientA };
const hourMs = 3_600_000;

export function describeAuditLogConformance(name: string, setup: () => Promise<AuditLogFixture>): void {
  describe(`${name}: audit logs`, () => {
    let store: AuditLogFixture;
    let samples: SampleEntities;
    beforeEach(async () => {
      store = await setup();
      samples = createSamples();
    });
    afterEach(() => store.close());
    const append = (...logs: readonly NewAuditLog[]) => store.auditLogs.append(logs);
    const list = async (filter: AuditLogFilter = {}, scope: Scope = anchorScope): Promise<readonly string[]> => {
      const { items } = await store.auditLogs.list(filter, { limit: 100, cursor: null }, scope);
      return items.map(({ id }) => id);
    };
    const ids = (...logs: readonly NewAuditLog[]): readonly string[] => logs.map(({ id }) => id);

    test("gives back each as it was given", async () => {
      const plain = samples.auditLog();
      const full = samples.auditLog({
        senderId: "0J7TZ5G2K8QXY",
        clientId: clientA,
        principalId: "user-7",
        messageGroup: "order-7",
        data: '{ "kept" : "exactly", "n": 1.0, "\\u0000": "é😀" }',
      });
      expect(await append(plain, full)).toEqual([
        { kind: "created", id: plain.id },
        { kind: "created", id: full.id },
      ]);
      for (const given of [plain, full]) {
        const { position, ...read } = (await store.auditLogs.byId(given.id, anchorScope))!;
        expect(position).toBeGreaterThan(0);
        expect(read).toEqual(given);
      }
      expect(await append()).toEqual([]);
      expect(await store.auditLogs.byId("aud_\0" as AuditLogId, anchorScope)).toBeNull();
    });

    test("a known id of the sender answers the first one, in the same call and later, by client", async () => {
      const [first, same, other, platform, none] = [
        samples.auditLog({ senderId: "s1", clientId: clientA, operation: "first" }),
        samples.auditLog({ senderId: "s1", clientId: clientA, operation: "same" }),
        samples.auditLog({ senderId: "s1", clientId: clientB }),
        samples.auditLog({ senderId: "s1" }),
        samples.auditLog(),
      ];
      expect(await append(first, same, other, platform, none)).toEqual([
        { kind: "created", id: first.id },
        { kind: "repeated", id: first.id },
        { kind: "created", id: other.id },
        { kind: "created", id: platform.id },
        { kind: "created", id: none.id },
      ]);
      const again = [samples.auditLog({ senderId: "s2" }), samples.auditLog({ senderId: "s1", clientId: clientA })];
      expect(await append(...again)).toEqual([
        { kind: "created", id: again[0]!.id },
        { kind: "repeated", id: first.id },
      ]);
      expect((await store.auditLogs.byId(first.id, anchorScope))?.operation).toBe("first");
      expect(await list()).toHaveLength(5);
    });

    test("of equal ones that come at once, one is the first", async () => {
      const calls = Array.from({ length: 8 }, () => [
        samples.auditLog({ senderId: "a" }),
        samples.auditLog({ senderId: "b" }),
      ]);
      // Half of them the other way round, so that each waits for the other.
      const answers = await Promise.all(calls.map((logs, n) => append(...(n % 2 === 0 ? logs : logs.toReversed()))));
      const kinds = answers.flat().map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === "created")).toHaveLength(2);
      expect(new Set(answers.flat().map(({ id }) => id)).size).toBe(2);
      expect(await list()).toHaveLength(2);
    });

    test("a call is atomic", async () => {
      const taken = samples.auditLog();
      await append(taken);
      // An id of ours is never given twice; if it were, nothing of the call may stay.
      const call = append(samples.auditLog({ senderId: "x" }), { ...samples.auditLog(), id: taken.id });
      expect(await call.then(() => "kept").catch(() => "failed")).toBe("failed");
      expect(await list()).toEqual([taken.id]);
    });

    test("pages go from the newest to the oldest, in the order of calls", async () => {
      const logs = Array.from({ length: 7 }, () => samples.auditLog());
      await append(...logs.slice(0, 4));
      await append(...logs.slice(4));
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const page = await store.auditLogs.list({}, { limit: 3, cursor }, anchorScope);
        seen.push(...ids(...page.items));
        ({ nextCursor: cursor } = page);
        // What comes meanwhile is newer, and shifts nothing.
        await append(samples.auditLog({ entityType: "Late" }));
      } while (cursor !== null);
      expect<readonly string[]>(seen).toEqual(ids(...logs.toReversed()));
      const lost = store.auditLogs.list({}, { limit: 3, cursor: "nonsense" }, anchorScope);
      expect(await lost.catch((error: unknown) => error)).toMatchObject({ code: "CURSOR_INVALID" });
    });

    test("filters", async () => {
      const [a, b, c, d] = [
        samples.auditLog({ entityId: "1", principalId: "ann", clientId: clientA }),
        samples.auditLog({ entityId: "1", entityType: "Invoice", principalId: "bob" }),
        samples.auditLog({ entityId: "2", operation: "CreateOrder", principalId: "ann" }),
        samples.auditLog({ entityId: "3", clientId: clientB }),
      ];
      await append(a, b, c, d);
      expect(await list({ entityId: "1" })).toEqual(ids(b, a));
      expect(await list({ entityId: "1", entityType: "Order" })).toEqual(ids(a));
      expect(await list({ entityType: "Order" })).toEqual(ids(d, c, a));
      expect(await list({ principalId: "ann" })).toEqual(ids(c, a));
      expect(await list({ principalId: "ann", clientId: clientA })).toEqual(ids(a));
      expect(await list({ operation: "CreateOrder" })).toEqual(ids(c));
      expect(await list({ clientId: clientB })).toEqual(ids(d));
      expect(await list({ clientId: null })).toEqual(ids(c, b));
      expect(await list({ entityId: "none" })).toEqual([]);
      expect(await list({ entityId: "\0" })).toEqual([]);
    });

    test("a tenant reads its own, and neither the platform's nor another tenant's", async () => {
      const [platform, own, other] = [null, clientA, clientB].map((clientId) => samples.auditLog({ clientId }));
      await append(platform!, own!, other!);
      expect(await list({}, scopeA)).toEqual(ids(own!));
      expect(await list({ clientId: null }, scopeA)).toEqual([]);
      expect(await list({ clientId: clientB }, scopeA)).toEqual([]);
      const readable = async ({ id }: NewAuditLog): Promise<boolean> =>
        (await store.auditLogs.byId(id, scopeA)) !== null;
      expect(await Promise.all([platform!, own!, other!].map(readable))).toEqual([false, true, false]);
    });

    test("a page looks at so many rows at most, and the next one goes on behind them", async () => {
      const rare = samples.auditLog({ operation: "Rare" });
      await append(rare, ...Array.from({ length: auditLogPageLimits.scannedMaxRows }, () => samples.auditLog()));
      const filter = { operation: "Rare" };
      const first = await store.auditLogs.list(filter, { limit: 10, cursor: null }, anchorScope);
      expect(first.items).toEqual([]);
      expect(first.nextCursor).not.toBeNull();
      const second = await store.auditLogs.list(filter, { limit: 10, cursor: first.nextCursor }, anchorScope);
      expect([ids(...second.items), second.nextCursor]).toEqual([[rare.id], null]);
    });

    test("a page has so many bytes of data at most, but one audit log always", async () => {
      const data = JSON.stringify("x".repeat(auditLogPageLimits.dataMaxBytes / 2));
      const logs = Array.from({ length: 3 }, () => samples.auditLog({ data }));
      await append(...logs);
      const page = await store.auditLogs.list({}, { limit: 10, cursor: null }, anchorScope);
      expect(ids(...page.items)).toEqual([logs[2]!.id]);
      const rest = await store.auditLogs.list({}, { limit: 10, cursor: page.nextCursor }, anchorScope);
      expect(ids(...rest.items)).toEqual([logs[1]!.id]);
    });

    test("old ones go in steps, the oldest first; the id of the sender is free again", async () => {
      const lease = await store.leases.acquire("maintenance", "test", 1_000 * hourMs);
      const drop = (beforeMs: number) => store.housekeeping.dropAuditLogs(beforeMs, 2, lease!.epoch);
      const at = (hours: number, senderId: string) =>
        samples.auditLog({ senderId, createdAtMs: sampleTimeMs + hours * hourMs });
      const [ahead, one, two, three] = [at(100, "ahead"), at(3, "one"), at(1, "two"), at(2, "three")];
      await append(ahead, one, two, three);
      expect(await drop(sampleTimeMs + 4 * hourMs)).toBe(2);
      expect(await list()).toEqual(ids(one, ahead));
      expect(await drop(sampleTimeMs + 4 * hourMs)).toBe(1);
      expect(await drop(sampleTimeMs + 4 * hourMs)).toBe(0);
      expect(await list()).toEqual(ids(ahead));
      expect(await append(at(4, "one"))).toMatchObject([{ kind: "created" }]);
    });
  });
}
