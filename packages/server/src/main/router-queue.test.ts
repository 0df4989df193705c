import { expect, test } from "bun:test";
import { routerQueueOf } from "./router-queue.ts";

test("routers are told of a queue without whatever opens it", () => {
  expect(routerQueueOf("db:")).toEqual({ queueName: "db", queueUri: "db:" });
  const queueUri = "postgres://db:5432/queue?sslmode=require";
  expect(routerQueueOf("postgres://me:hunter2@db:5432/queue?sslmode=require").queueUri).toBe(queueUri);
  const inQuery = "postgres://db:5432/queue?user=me&password=hunter2&sslmode=require&sslpassword=hunter3";
  expect(routerQueueOf(inQuery)).toEqual({ queueName: "postgres", queueUri });
});
