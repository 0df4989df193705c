import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { OutboxForm } from "../../domain/outbox-row.ts";
import { sqlForm } from "../outbox-form.ts";
import { claimTexts, ofGroup, type ClaimTexts } from "./sqlite-claim.ts";
import { sqliteOutboxDdl } from "./sqlite-ddl.ts";

const table = "outbox_messages";

for (const form of ["platform", "router"] as const satisfies readonly OutboxForm[]) {
  describe(`plans of claims on SQLite, ${form}`, () => {
    let file: Database;
    const texts: ClaimTexts = claimTexts(sqlForm(form), table);
    beforeAll(() => {
      file = new Database(":memory:");
      for (const text of sqliteOutboxDdl(form, table)) file.run(text);
    });
    afterAll(() => file.close());

    const planOf = (text: string): string =>
      file
        .query<{ readonly detail: string }, []>(`EXPLAIN QUERY PLAN ${text}`)
        .all()
        .map(({ detail }) => detail)
        .join("; ");

    test("what is asked of a group is looked up in the index of groups", () => {
      const { inProgressOf, pendingUpTo, pendingBefore, firstWaiting, waitingBefore } = texts;
      const chosen = `SELECT id FROM ${table} WHERE ${ofGroup(sqlForm(form))}`;
      for (const text of [inProgressOf, pendingUpTo, pendingBefore, ...firstWaiting, ...waitingBefore, chosen]) {
        expect(planOf(text)).toMatch(/^SEARCH outbox_messages USING (COVERING )?INDEX outbox_messages_by_group /);
      }
    });

    test("rows that are pending or due are read in the order of their index", () => {
      expect(planOf(texts.pending)).toMatch(/^SEARCH outbox_messages USING INDEX outbox_messages_by_status [^;]*$/);
      expect(planOf(texts.due)).toMatch(/^SEARCH outbox_messages USING INDEX outbox_messages_by_retry [^;]*$/);
    });
  });
}
