/**
 * `flowcatalyst outbox`: from an application's outbox table to the platform, or to the router (FC_OUTBOX_MODE). It
 * needs the application's database and the API's address, and nothing else of ours. Of several one is active, by a
 * lease in that database.
 *
 * Failures: a table that is not there ends the start, and says how it is made; a database that refuses the password,
 * the name or a right ends it too. One that does not answer is waited for, and so is one that goes away later; a
 * platform that is away uses up no retries (outbox-processor.ts).
 */
import { describeError, isCodedError, placeOfAddress } from "@flowcatalyst/foundation";
import type { OutboxAdmin } from "../ports/outbox-source.ts";
import { httpUrl } from "./http-service.ts";
import { openOutboxAt, refusedByDatabase, type OutboxPlace } from "./outbox-source-at.ts";
import { createOutboxService } from "./outbox-service.ts";
import type { OutboxConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { placeOf } from "./router-queue.ts";
import { createMetricsService } from "./router-service.ts";

export async function composeOutbox(config: OutboxConfig, context: ProcessContext): Promise<Composition> {
  const outbox = await openVerifiedOutbox(config, context);
  const addresses = { metrics: httpUrl(config.host, config.metricsPort) };
  const url = config.outboxMode === "platform" ? config.apiBaseUrl : config.outboxRouterUrl;
  const targetUrl = url.replace(/\/+$/, "");
  const parts = { source: outbox.source, targetUrl: () => targetUrl, token: config.apiToken ?? null };
  const service = await createOutboxService(parts, config, context);
  return {
    services: [createMetricsService(config, context, addresses), service],
    started: () => {
      const facts = {
        version: context.version,
        addresses,
        source: placeOfAddress(config.outboxDbUrl),
        target: placeOf(url),
      };
      context.announce({ kind: "started", service: "outbox", ...facts }, () => [
        `FlowCatalyst outbox ${context.version} is up`,
        `  source   ${facts.source}`,
        `  ${config.outboxMode.padEnd(8)} ${facts.target}`,
        `  health   ${addresses.metrics}/q/health`,
      ]);
    },
    close: () => outbox.source.close(),
  };
}

/** Throws CONFIG_INVALID when the table is not as it should be; a database that is away is left to the processor. */
export async function openVerifiedOutbox(place: OutboxPlace, { logger }: ProcessContext): Promise<OutboxAdmin> {
  const outbox = await openOutboxAt(place);
  try {
    await outbox.source.verify();
  } catch (error) {
    if (!isCodedError(error) || error.code !== "STORE_UNAVAILABLE") {
      await outbox.source.close();
      throw refusedByDatabase(error);
    }
    logger.warn({ error: describeError(error) }, "The outbox's database does not answer yet, and is waited for");
  }
  return outbox;
}
