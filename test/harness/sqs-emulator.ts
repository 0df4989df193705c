import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildApp } from "fauxqs";
import { version } from "../../node_modules/fauxqs/package.json";
import { PersistenceManager } from "../../node_modules/fauxqs/dist/persistence.js";
import { S3Store } from "../../node_modules/fauxqs/dist/s3/s3Store.js";
import { SnsStore } from "../../node_modules/fauxqs/dist/sns/snsStore.js";
import { SqsStore } from "../../node_modules/fauxqs/dist/sqs/sqsStore.js";
import { INVALID_MESSAGE_BODY_CHAR } from "../../node_modules/fauxqs/dist/sqs/sqsTypes.js";
import { behaveLikeAws, isDatabase, sortGroups } from "./sqs-emulator-fifo.ts";

/**
 * The process of the emulator of Amazon SQS: `bun sqs-emulator.ts PORT FOLDER`. It is fauxqs, put together from its
 * parts, because its own start listens on every address, writes each change through to the disk, and has no clock to
 * move. See sqs-server.ts for who starts it.
 *
 * Made to behave as AWS does, here and in sqs-emulator-fifo.ts: a receive gives several messages of one group, in
 * order; a group's messages that come back stand in their order; a message made visible at once is had again at once;
 * deduplication is not forgotten by a restart, nor after 10,000 messages; bodies may have any character of Unicode that
 * XML may; nobody keeps a message for more than 12 hours
 * from its receipt.
 *
 * Different from AWS all the same:
 * - A standard queue keeps order and delivers once, as long as nobody lets a message become visible again.
 * - Any number of messages may be in flight; AWS refuses more than 120,000.
 * - A batch with one extension beyond the 12 hours is refused whole, and a restart begins those hours again.
 * - A receipt handle that has run out deletes nothing and is no error, on FIFO queues neither.
 * - Who ends a long poll unanswered may be given a message all the same, which stays in flight for its time.
 * - A long poll may end early with nothing, when another one took the message that ended it.
 * - Counts of messages are exact and current. There is no throttling, no retention, no redrive task, no authentication.
 */
const [portText = "", folder = ""] = process.argv.slice(2);
const port = Number(portText);

const clockFile = join(folder, "time-passed");
const realNow = Date.now;
let passedMs = existsSync(clockFile) ? Number(readFileSync(clockFile, "utf8")) : 0;
Date.now = () => realNow() + passedMs;

const sqsStore = new SqsStore();
const snsStore = new SnsStore();
const s3Store = new S3Store();
const dataFolder = join(folder, "data");
mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
const persistence = new PersistenceManager(dataFolder);
const database: unknown = Reflect.get(persistence, "db");
if (!isDatabase(database)) throw new Error("fauxqs keeps its database elsewhere now");
// What a process has written is there after its kill; only a crash of the machine would lose it.
database.exec("PRAGMA synchronous = OFF");
behaveLikeAws(database);
// fauxqs takes half of a character beyond U+FFFF for one that is not allowed.
const refusedInBodies = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
INVALID_MESSAGE_BODY_CHAR.test = (body) => refusedInBodies.test(body);
persistence.loadSqsAndSns(sqsStore, snsStore);
sqsStore.persistence = persistence;
for (const queue of sqsStore.allQueues()) {
  queue.persistence = persistence;
  sortGroups(queue);
}
// Without a host of its own, the URL of a queue has the place the request was sent to.
sqsStore.host = "";

const app = buildApp({ logger: false, stores: { sqsStore, snsStore, s3Store } });
app.get("/_version", async () => version);
app.get("/_time", async (request: { url: string }) => {
  passedMs += Number(new URL(request.url, "http://emulator").searchParams.get("pass"));
  writeFileSync(clockFile, String(passedMs));
  sqsStore.processAllTimers();
  return "";
});
process.on("SIGTERM", () => {
  persistence.close();
  process.exit(0);
});
await app.listen({ port, host: "127.0.0.1" });
