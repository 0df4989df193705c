import { systemClock } from "@flowcatalyst/foundation";
import { setupPlatform, type TestPlatform } from "../platform/platform.fixture.ts";
import type { PlatformDeps } from "../platform/platform-deps.ts";
import { createPlatformClient, type PlatformClient } from "./platform-client.ts";

export const testToken = "a-router's-token";

/** What the network between router and platform does, instead of the platform's own answer. */
export type Interference = (request: Request) => Response | Promise<Response> | null;

/** The real platform API on a real port, and a client of it. */
export interface RemotePlatform {
  readonly platform: TestPlatform;
  readonly url: string;
  readonly client: PlatformClient;
  clientWith(token: string | null): PlatformClient;
  interfere: Interference;
  /** Method and path of each request that came, without its query. */
  readonly requests: string[];
  /** Closes the port, as a process does that ends. */
  stopServing(): Promise<void>;
  /** The same port again. */
  serveAgain(): void;
  close(): Promise<void>;
}

/** `deps` replace the platform's own stores. */
export function openRemotePlatform(deps: Partial<PlatformDeps> = {}): RemotePlatform {
  const platform = setupPlatform({ apiTokens: [testToken] }, deps);
  const requests: string[] = [];
  const remote = { interfere: (() => null) as Interference };
  const serve = (port: number): Bun.Server<undefined> =>
    Bun.serve({
      hostname: "127.0.0.1",
      port,
      idleTimeout: 0,
      fetch: async (request) => {
        requests.push(`${request.method} ${new URL(request.url).pathname}`);
        return (await remote.interfere(request)) ?? platform.fetch(request);
      },
    });
  let server = serve(0);
  const port = server.port ?? 0;
  const url = `http://127.0.0.1:${port}`;
  const clientWith = (token: string | null): PlatformClient =>
    createPlatformClient({ clock: systemClock() }, { baseUrl: url, token, userAgent: "FlowCatalyst/test" });
  return Object.assign(remote, {
    platform,
    url,
    client: clientWith(testToken),
    clientWith,
    requests,
    stopServing: () => server.stop(true),
    serveAgain: () => {
      server = serve(port);
    },
    close: async () => {
      await server.stop(true);
      await platform.close();
    },
  });
}
