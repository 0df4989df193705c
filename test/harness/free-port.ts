import { createServer } from "node:net";

/**
 * Below the range that operating systems take the ports of outgoing connections from (Linux: 32,768 and up): there, a
 * port that was free a moment ago, or that a killed server is to open again, can be somebody's connection meanwhile.
 */
const lowestPort = 20_000;
const highestPort = 32_000;
const maxTries = 100;

/** A TCP port on loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const port = lowestPort + Math.floor(Math.random() * (highestPort - lowestPort));
    if (await isFree(port)) return port;
  }
  throw new Error("no free port was found");
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once("error", () => resolve(false));
  server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  return promise;
}
