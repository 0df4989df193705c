/** Addresses that must be refused when saved, the same table that is tried when sent. */
export { forbiddenTargets, type ForbiddenTarget } from "../../packages/server/src/net/forbidden-targets.fixture.ts";
