export { createRedisStandbyLease, type RedisStandbyLease } from "./redis-standby-lease.ts";
