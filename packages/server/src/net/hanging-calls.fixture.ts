import { systemClock } from "@flowcatalyst/foundation";
import { createFetchTransport, maxSimultaneousRequests } from "./index.ts";

/**
 * Makes many calls that are never answered, and beside them some to a healthy path; says how many of those were
 * answered.
 */
const [port = "", hangingCalls = "0"] = process.argv.slice(2);
const transport = createFetchTransport({ clock: systemClock() }, { trustedCertificates: null, proxy: null });
const { signal } = new AbortController();
const post = (path: string) =>
  transport.post(
    {
      url: `http://target.test:${port}${path}`,
      address: "127.0.0.1",
      headers: {},
      body: "{}",
      timeoutMs: 20_000,
      responseMaxBytes: 1_000,
    },
    signal,
  );

const calls = Array.from({ length: Number(hangingCalls) }, () => post("/hang"));
let healthy = 0;
for (let i = 0; i < 50; i++) {
  const result = await post("/");
  if (result.kind === "response" && result.body === "ok") healthy += 1;
}
process.stdout.write(`limit=${maxSimultaneousRequests(process.env)} healthy=${healthy}\n`);
process.exit(calls.length === Number(hangingCalls) ? 0 : 1);
