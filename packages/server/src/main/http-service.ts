import { CodedError, deferred, type Service } from "@flowcatalyst/foundation";

/** Anything that answers a request: a Hono app, or a plain function. */
export interface HttpHandler {
  fetch(request: Request): Response | Promise<Response>;
}

export interface HttpServiceOptions {
  readonly name: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Told the address once it listens. */
  readonly onListening?: (url: string) => void;
}

/** Long polls and slow receivers outlast Bun's default of ten seconds. */
const idleTimeoutSeconds = 255;
/** The largest accepted body is a batch of 32 MiB; the app refuses more while reading. */
const bodyMaxBytes = 64 * 1024 * 1024;

/**
 * A handler that is made when the first request comes, for what costs more to load than a start can spare. One that
 * cannot be made is tried again with the next request.
 */
export function madeOnFirstRequest(make: () => Promise<HttpHandler>): HttpHandler {
  let made: Promise<HttpHandler> | null = null;
  const remade = async (): Promise<HttpHandler> => {
    try {
      return await make();
    } catch (error) {
      made = null;
      throw error;
    }
  };
  return {
    fetch: async (request) => {
      made ??= remade();
      return (await made).fetch(request);
    },
  };
}

/** Serves a handler on a port as a supervised service. Throws CodedError PORT_IN_USE when the port is taken. */
export function createHttpService(handler: HttpHandler, options: HttpServiceOptions): Service {
  let listening = deferred();
  return {
    name: options.name,
    ready: () => listening.promise,
    run: async (signal) => {
      const server = listen(handler, options);
      options.onListening?.(`http://${urlHost(options.host)}:${server.port}`);
      listening.resolve();
      await aborted(signal);
      listening = deferred();
      // Requests under way are answered; the supervisor's deadline bounds that.
      await server.stop();
    },
  };
}

function listen(handler: HttpHandler, options: HttpServiceOptions): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: options.host,
      port: options.port,
      idleTimeout: idleTimeoutSeconds,
      maxRequestBodySize: bodyMaxBytes,
      fetch: (request) => handler.fetch(request),
    });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code !== "EADDRINUSE") throw cause;
    const message = `Port ${options.port} of ${options.host} (${options.name}) is taken`;
    throw new CodedError("PORT_IN_USE", { message, cause });
  }
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
