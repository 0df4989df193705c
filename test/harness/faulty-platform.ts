/**
 * A platform API that answers as a test wants: it passes requests on to the real one, or answers 500, either before
 * the real one has heard of it or after it has done all of its work.
 */
export interface FaultyPlatform {
  readonly url: string;
  /** Requests so far, by what was done with them. */
  readonly counts: Readonly<Record<Treatment, number>>;
  stop(): Promise<void>;
}

/** `lose`: it is passed on, and then answered 500. */
export type Treatment = "pass" | "refuse" | "lose";

/** `treat` is asked for each request, numbered from 1. */
export function startFaultyPlatform(platformUrl: string, treat: (request: number) => Treatment): FaultyPlatform {
  const counts = { pass: 0, refuse: 0, lose: 0 };
  let requests = 0;
  const fault = (): Response =>
    Response.json({ error: { code: "INTERNAL", message: "made to fail" } }, { status: 500 });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: async (request) => {
      requests += 1;
      const treatment = treat(requests);
      counts[treatment] += 1;
      if (treatment === "refuse") return fault();
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      const body = method === "GET" ? {} : { body: await request.arrayBuffer() };
      const answer = await fetch(`${platformUrl}${pathname}${search}`, { method, headers, ...body });
      const text = await answer.text();
      if (treatment === "lose") return fault();
      const type = answer.headers.get("content-type") ?? "application/json";
      return new Response(text, { status: answer.status, headers: { "content-type": type } });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, counts, stop: () => server.stop(true) };
}
