import {
  deadLetterListQuerySchema,
  deadLetterQuerySchema,
  settleDeadLettersSchema,
  wireLimits,
  type DeadLetterList,
  type DeadLetterOut,
} from "@flowcatalyst/contracts";
import { CodedError, isoTime } from "@flowcatalyst/foundation";
import type { BodyReader } from "../http/body-reader.ts";
import { parseJson } from "../http/json-text.ts";
import { validated } from "../http/validation.ts";
import type { DeadLetter, DeadLetterKey } from "../ports/queue.ts";
import { shownBody, type DeadLetterOffice, type SettlingAct } from "./dead-letter-office.ts";
import type { LetterFilter } from "./dead-letter-pages.ts";
import type { Mount, RouterContext } from "./router-api.ts";
import { routerEndpoints } from "./router-endpoints.ts";

/** The dead letters of the router's queues over HTTP. */
export function mountDeadLetters(mount: Mount, office: DeadLetterOffice, bodies: BodyReader): void {
  mount(routerEndpoints.deadLetters, async (c) => {
    const { limit, cursor = null, queue = null, ...filter } = validated(deadLetterListQuerySchema, queryOf(c));
    const page = await office.list({ limit, cursor, queue, filter: filterOf(filter) });
    const answer: DeadLetterList = {
      items: page.letters.map((found) => letterOut(found.queue.name, found.letter, shownBody(found.letter))),
      ...(page.nextCursor === null ? {} : { nextCursor: page.nextCursor }),
      unpaged: [...page.unpaged],
    };
    return c.json(answer);
  });
  mount(routerEndpoints.deadLetter, async (c) => {
    const { queue = null } = validated(deadLetterQuerySchema, queryOf(c));
    const key = c.req.param("key") ?? "";
    const found = await office.find(key as DeadLetterKey, queue);
    if (found === null) throw new CodedError("NOT_FOUND", { message: `There is no dead letter ${key.slice(0, 100)}.` });
    return c.json(letterOut(found.queue, found.letter, found.letter.body));
  });
  const mountAct = (act: SettlingAct): void =>
    mount(act === "replay" ? routerEndpoints.replayDeadLetters : routerEndpoints.discardDeadLetters, async (c) => {
      const body = validated(settleDeadLettersSchema, parseJson(await bodies.text(c.req.raw)));
      const { queue = null, dryRun = false } = body;
      if ("keys" in body) {
        return c.json(await office.settleNamed(act, { keys: body.keys as DeadLetterKey[], queue, dryRun }));
      }
      const { limit = wireLimits.deadLettersMax, cursor = null } = body;
      return c.json(await office.settlePage(act, { limit, cursor, queue, filter: filterOf(body), dryRun }));
    });
  mountAct("replay");
  mountAct("discard");
}

function queryOf(c: RouterContext): Record<string, string | string[]> {
  const queries = Object.entries(c.req.queries());
  return Object.fromEntries(queries.map(([name, values]) => [name, values.length === 1 ? (values[0] ?? "") : values]));
}

function filterOf(given: {
  readonly poolCode?: string | undefined;
  readonly reason?: string | undefined;
}): LetterFilter {
  return { poolCode: given.poolCode ?? null, reason: given.reason ?? null };
}

function letterOut(queue: string, { key, id, lane, reason, atMs }: DeadLetter, body: string): DeadLetterOut {
  return { key, queue, id, poolCode: lane, reason, body, at: isoTime(atMs) };
}
