/**
 * The yardstick: signed POSTs a second that a bare client loop makes to the same receiver, with the same body, no
 * storage. Arguments: url, seconds, concurrency, body bytes. Prints one JSON line.
 */
import { createHmac } from "node:crypto";

const [url = "", seconds = "5", concurrency = "64", bytes = "500"] = process.argv.slice(2);
const key = Buffer.alloc(32, 7);
const body = JSON.stringify({ g: 0, n: 0, t: 0, pad: "x".repeat(Math.max(0, Number(bytes) - 60)) });
let count = 0;
const startedAt = performance.now();
const until = startedAt + Number(seconds) * 1000;

async function loop(): Promise<void> {
  while (performance.now() < until) {
    const id = `job_0ABCDEFGH${count}`;
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
    const response = await fetch(url, {
      method: "POST",
      body,
      redirect: "manual",
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1,${signature}`,
        "user-agent": "FlowCatalyst/bench",
        "accept-encoding": "identity",
      },
    });
    await response.arrayBuffer();
    count += 1;
  }
}

await Promise.all(Array.from({ length: Number(concurrency) }, () => loop()));
console.log(JSON.stringify({ count, perSecond: Math.round(count / ((performance.now() - startedAt) / 1000)) }));
