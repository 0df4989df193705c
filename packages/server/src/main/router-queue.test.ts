import { expect, test } from "bun:test";
import { eventDataMaxBytesOf, queueKeyOf, routerQueueOf, routerQueuesOf, withOwnCredentials } from "./router-queue.ts";

test("routers are told of a queue without whatever opens it", () => {
  expect(routerQueueOf("db:")).toEqual({ queueName: "db", queueUri: "db:" });
  expect(routerQueueOf("sqlite:./a@b.db").queueUri).toBe("sqlite:./a@b.db");
  const queueUri = "postgres://db:5432/queue?sslmode=require";
  expect(routerQueueOf("postgres://me:hunter2@db:5432/queue?sslmode=require").queueUri).toBe(queueUri);
  const inQuery = "postgres://db:5432/queue?user=me&password=hunter2&sslmode=require&sslpassword=hunter3";
  expect(routerQueueOf(inQuery)).toEqual({ queueName: "postgres", queueUri });
  const nats = "nats://a-token@n1:4222,n2:4222/STREAM?replicas=3";
  expect(routerQueueOf(nats)).toEqual({ queueName: "nats", queueUri: "nats://n1:4222,n2:4222/STREAM?replicas=3" });
  expect(routerQueueOf("amqp://me:p@ss/w#rd@broker").queueUri).not.toContain("ss");
  for (const garbage of [
    "garbage SECRET@x",
    "SECRET:SECRET@x",
    "postgres:SECRET@x",
    "sqlite://me:SECRET@x",
    "amqp://me:12/SECRET@x",
  ]) {
    expect(JSON.stringify(routerQueueOf(garbage))).not.toContain("SECRET");
  }
});

test("a queue is the same whoever opens it and however it is used", () => {
  const told = queueKeyOf("nats://n:4222/FC?max_ack_pending=9");
  for (const same of ["nats://me:secret@n:4222/FC", "nats://n:4222/FC?creds=/etc/nats.creds&replicas=3"]) {
    expect(queueKeyOf(same)).toBe(told);
  }
  for (const other of ["nats://n:4222/OTHER", "nats://m:4222/FC"]) expect(queueKeyOf(other)).not.toBe(told);
  expect(queueKeyOf("sqs://fc?region=a&lanes=X")).toBe(queueKeyOf("sqs://fc?lanes=Y&region=a"));
  expect(queueKeyOf("sqs://fc?region=a")).not.toBe(queueKeyOf("sqs://fc?region=b"));
  expect(queueKeyOf("sqlite:./a.db")).not.toBe(queueKeyOf("sqlite:./b.db"));
});

test("the file of a router's own credentials opens what it was told of, and no other machine's", () => {
  expect(routerQueueOf("nats://n:4222/FC?creds=/theirs&replicas=3").queueUri).toBe("nats://n:4222/FC?replicas=3");
  expect(withOwnCredentials("nats://n:4222/FC?creds=/theirs", ["nats://n:4222?creds=/ours"])).toBe(
    "nats://n:4222/FC?creds=/ours",
  );
});

test("several queues have names that differ", () => {
  const names = routerQueuesOf(["nats://a", "amqp://b", "nats://c"]).map(({ queueName }) => queueName);
  expect(names).toEqual(["nats", "amqp", "nats-2"]);
});

test("a queue that was told without user and password gets those of the own one on the same host", () => {
  const own = ["nats://me:hunter2@n:4222", "postgres://db/queue?sslmode=require&user=you&password=hunter3"];
  expect(withOwnCredentials("nats://n:4222/OTHER?replicas=3", own)).toBe("nats://me:hunter2@n:4222/OTHER?replicas=3");
  const told = "postgres://db/other?sslmode=require&application_name=x";
  expect(withOwnCredentials(told, own)).toBe(`${told}&user=you&password=hunter3`);
  // Not to another host, port or kind of line, and not where it has its own.
  for (const other of ["nats://m:4222", "nats://n:4223", "tls://n:4222", "nats://x:y@n:4222", "db:", "sqlite:n.db"]) {
    expect(withOwnCredentials(other, own)).toBe(other);
  }
  // Nor where a parameter leads to another host, or takes the encryption away.
  for (const parameters of ["?sslmode=require&host=evil", "?sslmode=require&h%6fst=evil", "?sslmode=disable", ""]) {
    expect(withOwnCredentials(`postgres://db/queue${parameters}`, own)).not.toContain("hunter");
  }
});

test("the data of an event leaves room for what else a message has, also when all of it must be escaped", () => {
  const limitOf = (maxMessageBytes: number): number =>
    eventDataMaxBytesOf({ carriesReferences: false, maxMessageBytes });
  expect(limitOf(1_048_576)).toBe(262_144);
  expect(limitOf(262_144)).toBeLessThan(131_072);
  expect(eventDataMaxBytesOf({ carriesReferences: true, maxMessageBytes: 65_536 })).toBe(262_144);
});
