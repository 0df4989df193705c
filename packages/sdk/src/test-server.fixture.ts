import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as a test server saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** What a test server answers; `lost` closes the connection instead. */
export type TestAnswer =
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  | "lost";

export interface TestServer {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  stop(): Promise<void>;
}

/** A real HTTP server that answers as it is told, by the request and how many came before. */
export async function startTestServer(
  answer: (request: SeenRequest, before: number) => TestAnswer,
): Promise<TestServer> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url: path = "", headers } = request;
      const one = { method, path, headers, text: Buffer.concat(chunks).toString() };
      const told = answer(one, seen.length);
      seen.push(one);
      if (told === "lost") return void request.socket.destroy();
      response.writeHead(told.status, { "content-type": "application/json", connection: "close", ...told.headers });
      response.end(told.body === undefined ? undefined : JSON.stringify(told.body));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    stop: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

/** A refusal as the platform sends it. */
export function problem(status: number, code: string, headers: Readonly<Record<string, string>> = {}): TestAnswer {
  const body = { code, detail: `${code} it is`, errors: [{ path: "name", message: "is wrong" }] };
  return { status, body, headers: { "content-type": "application/problem+json", ...headers } };
}
