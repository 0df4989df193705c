import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { JobId } from "../domain/ids.ts";
import type { JobReference } from "../domain/message.ts";
import { anchorScope } from "../domain/scope.ts";
import { JobScenario, profileFor, subscriptionA, type JobStoreSetup } from "./job-scenario.fixture.ts";

export function describeDeliveryReaderConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: delivery reader`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());

    const reference = (jobId: JobId, generation = 1): JobReference => ({
      kind: "reference",
      jobId,
      generation,
      bytes: 1,
    });
    const read = async (...references: readonly JobReference[]) => scenario.store.deliveryReader.read(references);

    test("puts a delivery together from job, profile and event", async () => {
      const event = scenario.samples.event({
        subject: "order 7",
        messageGroup: "g",
        correlationId: "c",
        causationId: "d",
        senderId: "theirs",
        dataSchema: "https://example.com/schema",
        dataContentType: "application/json",
        data: `{"total": 1.50}`,
        extensions: { region: "eu" },
      });
      const [appended] = await scenario.store.events.append([event]);
      const profile = profileFor(subscriptionA, {
        headers: { "x-a": "1" },
        legacySignature: true,
        secretRef: "subscription:x",
      });
      const job = scenario.jobOf(appended!.event, { profile });
      await scenario.append([job]);
      await scenario.queue();
      const delivery = (await read(reference(job.id))).get(job.id);
      expect(delivery).toEqual({
        kind: "delivery",
        jobId: job.id,
        generation: 1,
        attemptCount: 0,
        generationAttempts: 0,
        clientId: null,
        subscriptionId: subscriptionA,
        target: profile.targetUrl,
        contentType: "application/json",
        format: "data",
        headers: { "x-a": "1" },
        payloadKind: "json",
        payload: `{"total": 1.50}`,
        timeoutSeconds: 30,
        retry: profile.retry,
        expiresAtMs: scenario.store.now() + profile.maxAgeSeconds * 1_000,
        legacySignature: true,
        secretRef: "subscription:x",
        event: {
          id: event.id,
          senderId: "theirs",
          type: event.type,
          source: event.source,
          subject: "order 7",
          timeMs: event.timeMs,
          correlationId: "c",
          causationId: "d",
          messageGroup: "g",
          dataSchema: "https://example.com/schema",
          extensions: { region: "eu" },
        },
      });
    });

    test("an event without data is delivered without", async () => {
      const [event] = await scenario.store.events.append([scenario.samples.event({ data: null })]);
      const job = scenario.jobOf(event!.event, {});
      await scenario.append([job]);
      expect((await read(reference(job.id))).get(job.id)?.payload).toBeNull();
    });

    test("a task brings its own payload, and the event it names", async () => {
      const [event] = await scenario.store.events.append([scenario.samples.event()]);
      const tasks = [
        scenario.newTask({ payload: "<a/>", contentType: "application/xml", eventId: event!.event.id }),
        scenario.newTask({ subscriptionId: subscriptionA }),
      ];
      await scenario.store.jobCommands.createTasks(tasks);
      const deliveries = await read(...tasks.map((task) => reference(task.id)));
      expect(deliveries.get(tasks[0]!.id)).toMatchObject({
        payload: "<a/>",
        payloadKind: "text",
        contentType: "application/xml",
        event: { id: event!.event.id },
      });
      expect(deliveries.get(tasks[1]!.id)).toMatchObject({
        payloadKind: "json",
        event: null,
        subscriptionId: subscriptionA,
      });
    });

    test("leaves out what needs no call any more", async () => {
      const ids = await scenario.publish({}, {}, {}, {});
      await scenario.queue();
      await scenario.deliver(ids[0]!);
      await scenario.store.jobCommands.cancel(ids[1]!, scenario.store.now(), anchorScope);
      await scenario.report(ids[2]!, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      const found = await read(...ids.map((id) => reference(id)), reference("job_unknown" as JobId));
      expect([...found.keys()]).toEqual([ids[3]!]);
      expect([...(await read(reference(ids[2]!, 2))).keys()]).toEqual([ids[2]!]);
    });

    test("tells how many attempts there were", async () => {
      const [id] = await scenario.publish({});
      await scenario.queue();
      await scenario.report(id!, { result: { kind: "transient", error: "x" } });
      expect((await read(reference(id!))).get(id!)).toMatchObject({ attemptCount: 1, generationAttempts: 1 });
    });

    test("the expiry moves while the subscription is held", async () => {
      const [id] = await scenario.publish({});
      await scenario.queue();
      const before = (await read(reference(id!))).get(id!)!.expiresAtMs;
      await scenario.store.jobCommands.holdSubscription(subscriptionA, true, scenario.store.now());
      await scenario.store.advance(7_000);
      expect((await read(reference(id!))).get(id!)!.expiresAtMs).toBe(before + 7_000);
      await scenario.store.jobCommands.holdSubscription(subscriptionA, false, scenario.store.now());
      await scenario.store.advance(7_000);
      expect((await read(reference(id!))).get(id!)!.expiresAtMs).toBe(before + 7_000);
    });
  });
}
