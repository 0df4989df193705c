import { CodedError } from "@flowcatalyst/foundation";
import type { ReplayId } from "../../domain/ids.ts";
import { found, jsonAnswer, listAnswer } from "../answers.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { replayEndpoints } from "./endpoints.ts";
import { replayOut } from "./replay-out.ts";

export function mountReplays(mount: Mount, { replays, clock }: PlatformDeps): void {
  mount.endpoint(replayEndpoints.list, async ({ query, scope }) =>
    listAnswer(await replays.list({ limit: query.limit, cursor: query.cursor ?? null }, scope), replayOut),
  );
  mount.endpoint(replayEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return jsonAnswer(replayOut(found(await replays.byId(id as ReplayId, scope), "replay", id)));
  });
  mount.endpoint(replayEndpoints.cancel, async ({ param, scope }) => {
    const id = param("id");
    const replay = found(await replays.byId(id as ReplayId, scope), "replay", id);
    if (replay.status === "COMPLETED") throw new CodedError("STATE_CONFLICT", { message: "The replay is COMPLETED." });
    return jsonAnswer(replayOut(found(await replays.cancel(replay.id, clock.now()), "replay", id)));
  });
}
