import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Where a socket goes, in the order and form in which the library of AMQP asks for it. */
export interface SocketTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/**
 * A socket that gathers what is written in one turn of the event loop. The library writes each frame by itself; a
 * settlement of a hundred messages would be a hundred system calls.
 */
export function openGatheringSocket({ host, port, tls }: SocketTarget, connected: () => void): Socket {
  const named = isIP(host) === 0 ? { servername: host } : {};
  const socket = tls ? connectTls({ host, port, ...named }, connected) : connectTcp({ host, port }, connected);
  socket.setNoDelay(true);
  const write = socket.write.bind(socket);
  const end = socket.end.bind(socket);
  let gathered: Uint8Array[] = [];
  const flush = (): void => {
    const chunks = gathered;
    gathered = [];
    const [first] = chunks;
    if (first !== undefined && !socket.destroyed) write(chunks.length === 1 ? first : Buffer.concat(chunks));
  };
  Object.defineProperty(socket, "write", {
    value: (chunk: Uint8Array): boolean => {
      if (gathered.push(chunk) === 1) setImmediate(flush);
      return true;
    },
  });
  Object.defineProperty(socket, "end", {
    value: (): Socket => {
      flush();
      return end();
    },
  });
  return socket;
}
