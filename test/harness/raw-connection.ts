import { connect, type Socket } from "node:net";

/** A connection on which a test writes what no HTTP client would. */
export interface RawConnection {
  readonly socket: Socket;
  write(text: string | Uint8Array): void;
  /** What has come so far. */
  received(): string;
  /** What came until the other side closed. */
  readonly closed: Promise<string>;
  end(): void;
}

export async function openConnection(port: number): Promise<RawConnection> {
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<string>();
  const socket = connect(port, "127.0.0.1", resolve);
  let received = "";
  socket.on("data", (bytes: Buffer) => {
    received += bytes.toString();
  });
  // A reset is one way of being closed; the test judges by what came before.
  socket.on("error", reject);
  socket.on("close", () => closed.resolve(received));
  await opened;
  return {
    socket,
    write: (text) => void socket.write(text),
    received: () => received,
    closed: closed.promise,
    end: () => socket.destroy(),
  };
}
