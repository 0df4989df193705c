import type { Metrics } from "@flowcatalyst/foundation";
import type { OutboxResult } from "../domain/outbox-row.ts";
import type { OutboxCounts } from "../ports/outbox-source.ts";
import type { OutboxKind } from "../ports/outbox-publisher.ts";
import type { Hand } from "./hand.ts";

export interface OutboxMeters {
  /** Results that are written down. `type`: null if the row's was none. */
  settled(type: OutboxKind | null, result: OutboxResult): void;
  published(type: OutboxKind, durationMs: number): void;
  /** Null: not the leader, or not known. */
  counted(counts: OutboxCounts | null): void;
  /** Whose rows in hand are shown; null: nobody's. */
  show(hand: Hand | null): void;
}

const msPerSecond = 1_000;
const otherType = "OTHER";

export function createOutboxMeters(metrics: Metrics): OutboxMeters {
  const processed = metrics.counter("fc_outbox_messages_processed_total", "Rows the platform or router took", ["type"]);
  const failed = metrics.counter("fc_outbox_messages_failed_total", "Rows that were not taken, by what is next", [
    "type",
    "kind",
  ]);
  const seconds = metrics.histogram("fc_outbox_publish_duration_seconds", "Requests that carry rows", {
    labels: ["type"],
  });
  const gauges = {
    pending: metrics.gauge("fc_outbox_pending", "Rows that wait for their first sending, as far as they are counted"),
    waiting: metrics.gauge("fc_outbox_waiting", "Rows that will be tried again"),
    exhausted: metrics.gauge("fc_outbox_exhausted", "Rows without retries left, for an operator to retry or skip"),
    refused: metrics.gauge("fc_outbox_refused", "Rows that were refused for good"),
    oldest: metrics.gauge("fc_outbox_oldest_age_seconds", "Age of the oldest row that is not final"),
    groups: metrics.gauge("fc_outbox_groups_active", "Groups with rows in hand"),
    inHand: metrics.gauge("fc_outbox_in_hand", "Rows claimed and not settled yet"),
  };
  let shown: Hand | null = null;
  metrics.onCollect(() => {
    gauges.groups.set(shown?.groups ?? 0);
    gauges.inHand.set(shown?.rows ?? 0);
  });
  return {
    settled(kind, result) {
      const type = kind ?? otherType;
      if (result.kind === "done") processed.labels({ type }).inc();
      else failed.labels({ type, kind: result.kind === "failed" ? "retry" : "refused" }).inc();
    },
    published: (type, durationMs) => seconds.labels({ type }).observe(durationMs / msPerSecond),
    counted(counts) {
      gauges.pending.set(counts?.pending ?? 0);
      gauges.waiting.set(counts?.waiting ?? 0);
      gauges.exhausted.set(counts?.exhausted ?? 0);
      gauges.refused.set(counts?.refused ?? 0);
      gauges.oldest.set((counts?.oldestAgeMs ?? 0) / msPerSecond);
    },
    show: (hand) => {
      shown = hand;
    },
  };
}
