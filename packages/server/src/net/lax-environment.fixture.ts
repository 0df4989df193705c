import { systemClock } from "@flowcatalyst/foundation";
import { testCa } from "./certificates.fixture.ts";
import { createFetchTransport } from "./index.ts";

/** Calls a target whose certificate is for another name, and says what came of it. */
const [port = ""] = process.argv.slice(2);
const transport = createFetchTransport({ clock: systemClock() }, { trustedCertificates: testCa, proxy: null });
const request = { url: `https://one.test:${port}/`, address: "127.0.0.1", headers: {}, body: "{}", timeoutMs: 20_000 };
const result = await transport.post({ ...request, responseMaxBytes: 1_000 }, new AbortController().signal);
process.stdout.write(result.kind);
process.exit(0);
