import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { lowestTsidAt } from "@flowcatalyst/foundation";
import type { DispatchJob, JobStatus } from "../domain/dispatch-job.ts";
import type { ClientId, EventId, EventPosition, JobId, PoolCode, SubscriptionId } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import type { EventAppender } from "./event-log.ts";
import { clientA, clientB, createSamples, sampleTimeMs, type SampleEntities } from "./sample-entities.fixture.ts";
import type { EventSearch, JobSearch, SearchPage, Searches } from "./search.ts";

/** What a suite wants to find; how it gets into the store is the adapter's own business. */
export interface SearchableJob {
  /** Made at `createdAtMs`. */
  readonly id: JobId;
  readonly kind: "EVENT" | "TASK";
  readonly clientId: ClientId | null;
  readonly eventId: EventId | null;
  /** Of the event; for a task that of the newest event. */
  readonly eventPosition: EventPosition;
  readonly subscriptionId: SubscriptionId | null;
  /** Of a task; an event's job has its event's type. */
  readonly code: string | null;
  readonly poolCode: PoolCode;
  readonly messageGroup: string | null;
  readonly status: JobStatus;
  readonly createdAtMs: number;
}

/** Searches over an empty store. */
export interface SearchFixture {
  readonly searches: Searches;
  readonly appender: EventAppender;
  addJobs(jobs: readonly SearchableJob[]): Promise<void>;
  /** Searches over the same data that time out at once. */
  hurried(): Searches;
  close(): Promise<void>;
}

const paging = { page: 0, size: 100 };
const scopeA = { kind: "client", clientId: clientA } as const;

export function describeSearchConformance(name: string, setup: () => Promise<SearchFixture>): void {
  describe(`${name}: searches`, () => {
    let store: SearchFixture;
    let samples: SampleEntities;
    beforeEach(async () => {
      store = await setup();
      samples = createSamples();
    });
    afterEach(() => store.close());

    describe("of events", () => {
      const find = async (search: EventSearch): Promise<string[]> => {
        const found = await store.searches.events(search, paging, anchorScope);
        expect(found.totalItems).toBe(found.items.length);
        expect(found.totalIsLowerBound).toBe(false);
        return found.items.map((event) => event.id);
      };

      test("give whole events, the newest time first", async () => {
        const events = [30, 10, 20].map((n) => samples.event({ timeMs: sampleTimeMs + n, subject: `s${n}` }));
        const appended = await store.appender.append(events);
        const found = await store.searches.events({}, paging, anchorScope);
        expect(found.items).toEqual([appended[0]!.event, appended[2]!.event, appended[1]!.event]);
      });

      test("an empty store has none", async () => {
        const found = await store.searches.events({}, paging, anchorScope);
        expect(found).toEqual({ items: [], totalItems: 0, totalIsLowerBound: false });
      });

      test("by each attribute, and by several at once", async () => {
        const match = samples.event({
          clientId: clientA,
          type: "shop:sales:order:placed",
          source: "/s",
          subject: "sub",
          correlationId: "cor",
          messageGroup: "grp",
        });
        await store.appender.append([samples.event({ clientId: clientB }), match, samples.event()]);
        const searches: EventSearch[] = [
          { clientIds: [clientA] },
          { types: ["shop:sales:order:placed"] },
          { source: "/s" },
          { subject: "sub" },
          { correlationId: "cor" },
          { messageGroup: "grp" },
          { clientIds: [clientA], types: ["other", "shop:*"], source: "/s", messageGroup: "grp" },
        ];
        for (const search of searches) expect(await find(search)).toEqual([match.id]);
        expect(await find({ source: "/s", subject: "other" })).toEqual([]);
        expect(await find({ subject: "not text in every database: \0" })).toEqual([]);
      });

      test("by client, the platform's own among them", async () => {
        const [platform, a, b] = [null, clientA, clientB].map((clientId) => samples.event({ clientId }));
        await store.appender.append([platform!, a!, b!]);
        expect(await find({ clientIds: [null] })).toEqual([platform!.id]);
        expect(await find({ clientIds: [null, clientB] })).toEqual([b!.id, platform!.id]);
      });

      test("in types, * stands for any text and nothing else is special", async () => {
        const types = ["order.created", "order.deleted", "orderXcreated", "a[b]?c", "ORDER.CREATED"];
        const events = types.map((type) => samples.event({ type }));
        await store.appender.append(events);
        const typesOf = async (patterns: readonly string[]): Promise<string[]> => {
          const ids = await find({ types: patterns });
          return events.filter((event) => ids.includes(event.id)).map((event) => event.type);
        };
        expect(await typesOf(["order.*"])).toEqual(["order.created", "order.deleted"]);
        expect(await typesOf(["*created"])).toEqual(["order.created", "orderXcreated"]);
        expect(await typesOf(["a[b]?*"])).toEqual(["a[b]?c"]);
        expect(await typesOf(["order.deleted", "a*"])).toEqual(["order.deleted", "a[b]?c"]);
      });

      test("by a time window, its beginning included and its end not", async () => {
        const events = [1, 2, 3, 4].map((n) => samples.event({ timeMs: sampleTimeMs + n }));
        await store.appender.append(events);
        const window = { timeAfterMs: sampleTimeMs + 2, timeBeforeMs: sampleTimeMs + 4 };
        expect(await find(window)).toEqual([events[2]!.id, events[1]!.id]);
      });

      test("by a text in the data, where % and _ stand for themselves", async () => {
        const datas = ['{"note":"100% Sure_thing"}', '{"note":"100x SureXthing"}', null];
        const events = datas.map((data) => samples.event({ data }));
        await store.appender.append(events);
        expect(await find({ text: "0% sure_" })).toEqual([events[0]!.id]);
        expect(await find({ text: "100" })).toEqual([events[1]!.id, events[0]!.id]);
      });

      test("in numbered pages that neither repeat nor miss any", async () => {
        const events = Array.from({ length: 25 }, () => samples.event({ timeMs: sampleTimeMs }));
        await store.appender.append(events);
        const ids: string[] = [];
        for (const page of [0, 1, 2, 3]) {
          const found = await store.searches.events({}, { page, size: 10 }, anchorScope);
          expect(found.totalItems).toBe(25);
          ids.push(...found.items.map((event) => event.id));
        }
        expect(ids).toEqual(events.map((event) => String(event.id)).reverse());
      });

      test("totals are exact to 10,000, and a lower bound beyond", async () => {
        for (let n = 0; n < 10; n++) {
          await store.appender.append(Array.from({ length: 1_000 }, () => samples.event()));
        }
        const exact = await store.searches.events({}, { page: 0, size: 1 }, anchorScope);
        expect(exact).toMatchObject({ totalItems: 10_000, totalIsLowerBound: false });
        await store.appender.append([samples.event()]);
        const more = await store.searches.events({}, { page: 9_999, size: 1 }, anchorScope);
        expect(more).toMatchObject({ totalItems: 10_000, totalIsLowerBound: true });
        expect(more.items).toHaveLength(1);
      });

      test("a tenant finds its own and the platform's", async () => {
        const [platform, own, other] = [null, clientA, clientB].map((clientId) => samples.event({ clientId }));
        await store.appender.append([platform!, own!, other!]);
        const found = await store.searches.events({}, paging, scopeA);
        expect(found.items.map((event) => event.id)).toEqual([own!.id, platform!.id]);
        const foreign = await store.searches.events({ clientIds: [clientB] }, paging, scopeA);
        expect(foreign.items).toEqual([]);
      });
    });

    test("filter options are narrowed by the choices before them", async () => {
      const types = [
        "shop:sales:order:placed",
        "shop:sales:cart:left",
        "shop:stock:item:low",
        "bank:core:account:opened",
      ];
      await store.appender.append(types.map((type) => samples.event({ type, clientId: clientA })));
      await store.appender.append([samples.event({ type: "other:one", clientId: clientB })]);
      const all = await store.searches.eventFilterOptions({}, anchorScope);
      expect(all.clients).toEqual([clientA, clientB]);
      expect(all.applications).toEqual(["bank", "other", "shop"]);
      expect(all.types).toEqual([...types, "other:one"].sort());
      const chosen = { clientId: clientA, application: "shop", subdomain: "sales" };
      expect(await store.searches.eventFilterOptions(chosen, anchorScope)).toEqual({
        clients: [clientA, clientB],
        applications: ["bank", "shop"],
        subdomains: ["sales", "stock"],
        aggregates: ["cart", "order"],
        types: ["shop:sales:cart:left", "shop:sales:order:placed"],
      });
      expect((await store.searches.eventFilterOptions({}, scopeA)).clients).toEqual([clientA]);
    });

    describe("of jobs", () => {
      let counter: number;
      let newest: EventPosition;
      beforeEach(() => {
        counter = 0;
        newest = 0 as EventPosition;
      });
      const hourMs = 3_600_000;
      const job = (changes: Partial<SearchableJob>): SearchableJob => ({
        id: `job_${lowestTsidAt(sampleTimeMs + ++counter * hourMs)}` as JobId,
        kind: "TASK",
        clientId: null,
        eventId: null,
        eventPosition: newest,
        subscriptionId: null,
        code: null,
        poolCode: "DEFAULT-POOL" as PoolCode,
        messageGroup: null,
        status: "PENDING",
        createdAtMs: sampleTimeMs + counter * hourMs,
        ...changes,
      });
      const eventJob = async (changes: Partial<SearchableJob>, type: string): Promise<SearchableJob> => {
        const [appended] = await store.appender.append([samples.event({ type })]);
        newest = appended!.event.position;
        const subscriptionId = "sub_0000000000001" as SubscriptionId;
        const { id: eventId } = appended!.event;
        return job({ kind: "EVENT", eventId, eventPosition: newest, subscriptionId, code: type, ...changes });
      };
      const find = async (search: JobSearch): Promise<string[]> => {
        const found = await store.searches.jobs(search, paging, anchorScope);
        expect(found.totalItems).toBe(found.items.length);
        return found.items.map((one) => one.id);
      };

      test("by each attribute, the newest first", async () => {
        const one = await eventJob({ poolCode: "FAST" as PoolCode, messageGroup: "g" }, "order.created");
        const two = await eventJob({ clientId: clientA, status: "FAILED" }, "order.deleted");
        const three = job({ code: "order.created", eventId: one.eventId, subscriptionId: two.subscriptionId });
        const four = job({ status: "COMPLETED", clientId: clientB });
        await store.addJobs([one, two, three, four]);
        expect(await find({})).toEqual([four.id, three.id, two.id, one.id]);
        expect(await find({ statuses: ["FAILED", "COMPLETED"] })).toEqual([four.id, two.id]);
        expect(await find({ code: "order.created" })).toEqual([three.id, one.id]);
        expect(await find({ eventId: one.eventId! })).toEqual([three.id, one.id]);
        expect(await find({ eventId: two.eventId! })).toEqual([two.id]);
        expect(await find({ eventId: "evt_unknown" })).toEqual([]);
        expect(await find({ subscriptionId: two.subscriptionId! })).toEqual([three.id, two.id, one.id]);
        expect(await find({ poolCode: "FAST" })).toEqual([one.id]);
        expect(await find({ messageGroup: "g" })).toEqual([one.id]);
        expect(await find({ clientIds: [clientA, null] })).toEqual([three.id, two.id, one.id]);
        expect(await find({ clientIds: [null], statuses: ["PENDING"], code: "order.created" })).toEqual([
          three.id,
          one.id,
        ]);
        const window = { createdAfterMs: two.createdAtMs, createdBeforeMs: four.createdAtMs };
        expect(await find(window)).toEqual([three.id, two.id]);
      });

      test("give whole jobs", async () => {
        const one = await eventJob({ clientId: clientA, messageGroup: "g" }, "order.created");
        await store.addJobs([one]);
        const found = await store.searches.jobs({}, paging, anchorScope);
        expect(found.items[0]).toMatchObject({
          id: one.id,
          kind: "EVENT",
          clientId: clientA,
          eventId: one.eventId,
          subscriptionId: one.subscriptionId,
          code: "order.created",
          messageGroup: "g",
          status: "PENDING",
          createdAtMs: one.createdAtMs,
        });
      });

      test("in numbered pages", async () => {
        const jobs = Array.from({ length: 25 }, () => job({}));
        await store.addJobs(jobs);
        const ids: string[] = [];
        for (const page of [0, 1, 2]) {
          const found = await store.searches.jobs({}, { page, size: 10 }, anchorScope);
          expect(found.totalItems).toBe(25);
          ids.push(...found.items.map((one) => one.id));
        }
        expect(ids).toEqual(jobs.map((one) => String(one.id)).reverse());
      });

      test("open ones and final ones in one list, from any job on", async () => {
        const statuses: readonly JobStatus[] = ["PENDING", "COMPLETED", "QUEUED", "FAILED", "CANCELLED", "EXPIRED"];
        const jobs = Array.from({ length: 25 }, (_, n) => job({ status: statuses[n % statuses.length]! }));
        await store.addJobs(jobs);
        const ids: string[] = [];
        for (let search: JobSearch | null = {}; search !== null;) {
          const found: SearchPage<DispatchJob> = await store.searches.jobs(search, { page: 0, size: 10 }, anchorScope);
          expect(found.totalItems).toBe(25 - ids.length);
          ids.push(...found.items.map((one) => one.id));
          const last = found.items.at(-1);
          search = last === undefined ? null : { before: last };
        }
        expect(ids).toEqual(jobs.map((one) => String(one.id)).reverse());
      });

      test("a tenant finds its own and the platform's", async () => {
        const [platform, own, other] = [null, clientA, clientB].map((clientId) => job({ clientId }));
        await store.addJobs([platform!, own!, other!]);
        const found = await store.searches.jobs({}, paging, scopeA);
        expect(found.items.map((one) => one.id)).toEqual([own!.id, platform!.id]);
      });
    });

    test("one that takes too long is SEARCH_TIMED_OUT, and the next ones work", async () => {
      for (let n = 0; n < 6; n++) {
        await store.appender.append(Array.from({ length: 1_000 }, () => samples.event()));
      }
      const search: EventSearch = { text: "not there" };
      const fault = await store
        .hurried()
        .events(search, paging, anchorScope)
        .catch((error: unknown) => error);
      expect(fault).toMatchObject({ code: "SEARCH_TIMED_OUT" });
      expect((await store.searches.events(search, paging, anchorScope)).totalItems).toBe(0);
    });

    test("many at once are all answered", async () => {
      await store.appender.append([samples.event({ subject: "s" })]);
      const searches = Array.from({ length: 20 }, () => store.searches.events({ subject: "s" }, paging, anchorScope));
      for (const found of await Promise.all(searches)) expect(found.totalItems).toBe(1);
    });
  });
}
