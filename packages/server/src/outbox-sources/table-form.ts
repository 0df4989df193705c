import { outboxLimits, type OutboxForm, type OutboxStatus } from "../domain/outbox-row.ts";
import { wordOf } from "./outbox-form.ts";

/**
 * The two forms of the table: their names for the same things, and what stands in `status`. The older form has five
 * words, so that of a row of it one cannot tell what kind of failure it waits after, or why it was refused.
 */
export interface TableForm {
  readonly form: OutboxForm;
  readonly group: string;
  readonly error: string;
  /** Null: the older form has no such column. */
  readonly publishedAt: string | null;
  /** What stands in the column. */
  readonly word: (status: OutboxStatus) => number | string;
  /** Each once, those of `states`. */
  readonly words: (states: readonly OutboxStatus[]) => readonly (number | string)[];
}

export const waitingStates = [3, 4, 6] as const;
export const refusedStates = [2, 5] as const;
export const finalStates = [1, 2, 5] as const;

export const tableForms: Readonly<Record<OutboxForm, TableForm>> = {
  platform: formOf({
    form: "platform",
    group: "message_group",
    error: "error_message",
    publishedAt: null,
    word: (status) => status,
  }),
  router: formOf({
    form: "router",
    group: "message_group_id",
    error: "last_error",
    publishedAt: "published_at",
    word: wordOf,
  }),
};

function formOf(names: Omit<TableForm, "words">): TableForm {
  return { ...names, words: (states) => [...new Set(states.map((status) => names.word(status)))] };
}

/** As the column holds it: cut, and without halves of characters. */
export function errorText(error: string): string {
  return error.slice(0, outboxLimits.errorMaxChars).toWellFormed();
}
