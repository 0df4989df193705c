import type { HeldGroupOut } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { HeldGroup } from "../../ports/job-claims.ts";
import { found, jsonAnswer, listAnswer } from "../answers.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { groupEndpoints } from "./endpoints.ts";

export function mountGroups(mount: Mount, { jobs, jobCommands, clock }: PlatformDeps): void {
  mount.endpoint(groupEndpoints.list, async ({ query, scope }) =>
    listAnswer(await jobs.heldGroups({ limit: query.limit, cursor: query.cursor ?? null }, scope), heldGroupOut),
  );
  mount.endpoint(groupEndpoints.unblock, async ({ param, body, scope }) => {
    const key = param("key");
    const group = await jobCommands.unblock(key, body.action, clock.now(), scope);
    return jsonAnswer(heldGroupOut(found(group, "blocked group", key)));
  });
}

function heldGroupOut(group: HeldGroup): HeldGroupOut {
  return {
    key: group.key,
    subscriptionId: group.subscriptionId,
    reason: group.reason,
    since: isoTime(group.sinceMs),
    until: group.untilMs === null ? null : isoTime(group.untilMs),
    waiting: group.waiting,
    headJobId: group.headJobId,
    headStatus: group.headStatus,
  };
}
