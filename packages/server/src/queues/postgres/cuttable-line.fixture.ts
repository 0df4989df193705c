import { connect, createServer, type Socket } from "node:net";

/** A way to the server that can be cut and mended: connections break and new ones are refused, as if it were gone. */
export interface CuttableLine {
  readonly url: string;
  cut(): void;
  /** From the next answer of more bytes on, nothing is read any more, as by a process that was stopped. */
  stallAfter(bytes: number): void;
  /** That has happened. */
  readonly stalled: Promise<void>;
  mend(): void;
  close(): Promise<void>;
}

export async function openCuttableLine(target: string): Promise<CuttableLine> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isCut = false;
  const stalled = Promise.withResolvers<void>();
  let stallAfterBytes = Number.POSITIVE_INFINITY;
  const follow = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  const server = createServer((inner) => {
    if (isCut) {
      inner.destroy();
      return;
    }
    const outer = connect({ host: hostname, port: Number(port) });
    follow(inner, outer);
    follow(outer, inner);
    inner.pipe(outer);
    outer.pipe(inner);
    let seenBytes = 0;
    inner.on("data", () => {
      seenBytes = 0;
    });
    outer.on("data", (chunk) => {
      seenBytes += chunk.length;
      if (seenBytes < stallAfterBytes) return;
      outer.unpipe(inner);
      outer.pause();
      stalled.resolve();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the line has no port");
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String(address.port);
  const cut = (): void => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    cut,
    stalled: stalled.promise,
    stallAfter: (bytes) => {
      stallAfterBytes = bytes;
    },
    mend: () => {
      isCut = false;
    },
    close: async () => {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
