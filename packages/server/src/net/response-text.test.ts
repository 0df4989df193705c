import { afterEach, expect, test } from "bun:test";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { systemClock } from "@flowcatalyst/foundation";
import type { TransportResult } from "../ports/transport.ts";
import { createFetchTransport } from "./index.ts";

const responseMaxBytes = 64 * 1_024;
const open: Server[] = [];

afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

/** Posts to a server that speaks no HTTP library's dialect: whatever `answer` writes is what comes. */
async function postTo(answer: (socket: Socket) => void): Promise<TransportResult> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  });
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const transport = createFetchTransport({ clock: systemClock() }, { trustedCertificates: null, proxy: null });
  const request = { url: `http://a.test:${port}/`, address: "127.0.0.1", headers: {}, body: "{}", timeoutMs: 5_000 };
  return transport.post({ ...request, responseMaxBytes }, new AbortController().signal);
}

/** Writes the piece again and again, as fast as it is read, until the other side has gone. */
function writeForEver(socket: Socket, piece: string): void {
  while (!socket.destroyed) {
    if (!socket.write(piece)) {
      socket.once("drain", () => writeForEver(socket, piece));
      return;
    }
  }
}

const block = "y".repeat(16_384);
const endlessChunk = `4000\r\n${block}\r\n`;

test("a body without end is cut off although a length was announced with it", async () => {
  const result = await postTo((socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n");
    writeForEver(socket, endlessChunk);
  });
  expect(result.kind === "response" && result.body.length).toBe(responseMaxBytes);
});

test("a compressed body is not unpacked", async () => {
  const packed = Bun.gzipSync(new Uint8Array(8 * 1_048_576));
  const result = await postTo((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${packed.length}\r\n\r\n`);
    socket.write(packed);
  });
  expect(result.kind === "response" && result.body.length).toBeLessThanOrEqual(packed.length);
});

test("headers without end, and what is no HTTP, are failures", async () => {
  const headers = await postTo((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    writeForEver(socket, `x-a: ${block.slice(0, 4_000)}\r\n`);
  });
  expect(headers.kind).toBe("connectionFailed");
  expect((await postTo((socket) => socket.end("no such protocol\r\n\r\n"))).kind).toBe("connectionFailed");
  const upgrade = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
  expect((await postTo((socket) => socket.write(upgrade))).kind).toBe("connectionFailed");
});

test("a body that goes on behind its announced length is read as announced", async () => {
  const result = await postTo((socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    writeForEver(socket, block);
  });
  expect(result).toMatchObject({ kind: "response", status: 200, body: "yyyyy" });
});
