import type { OutboxForm } from "../domain/outbox-row.ts";

/** What every engine is opened with. */
export interface OutboxSourceConfig {
  readonly url: string;
  readonly form: OutboxForm;
  /** With its schema if need be: letters, digits and underscores, with at most one dot. */
  readonly table: string;
}
