import { CodedError, configInvalid, deferred, type Clock, type Service } from "@flowcatalyst/foundation";

/** Anything that answers a request: a Hono app, or a plain function. */
export interface HttpHandler {
  fetch(request: Request): Response | Promise<Response>;
}

export interface HttpServiceOptions {
  readonly name: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The setting that the port comes from, for the message when it cannot be had. */
  readonly portSetting: string;
  readonly clock: Clock;
  /** Told where it is found, once it listens: a port of 0 becomes a real one only then. */
  readonly onListening: (url: string) => void;
}

/** Long polls and slow receivers outlast Bun's default of ten seconds. */
const idleTimeoutSeconds = 255;
/**
 * At a stop, requests under way get this long: more than a search may take. Then they are cut off, as one whose body
 * never comes and a long poll must be.
 */
const stopGraceMs = 3_000;
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

/**
 * Serves a handler on a port as a supervised service. Its run throws PORT_IN_USE when the port is taken, and
 * CONFIG_INVALID when it, or the host, cannot be listened on at all.
 */
export function createHttpService(handler: HttpHandler, options: HttpServiceOptions): Service {
  let listening = deferred();
  return {
    name: options.name,
    ready: () => listening.promise,
    run: async (signal) => {
      const server = listen(handler, options);
      options.onListening(httpUrl(options.host, server.port ?? options.port));
      listening.resolve();
      await aborted(signal);
      listening = deferred();
      await stopGently(server, options.clock);
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
    throw listenFault(cause, options);
  }
}

/**
 * Requests under way are answered. A connection that has sent half a request and then nothing is none: Bun would wait
 * for it, so it is closed.
 */
async function stopGently(server: Bun.Server<undefined>, clock: Clock): Promise<void> {
  const graceMs = server.pendingRequests > 0 ? stopGraceMs : 0;
  const cancel = clock.setTimer(graceMs, () => void server.stop(true));
  await server.stop();
  cancel();
}

/** What the operating system's refusal means for whoever chose the address. */
function listenFault(cause: unknown, { name, host, port, portSetting }: HttpServiceOptions): unknown {
  switch (cause instanceof Error && "code" in cause ? cause.code : undefined) {
    case "EADDRINUSE": {
      const message = `Port ${port} of ${host} (${name}, ${portSetting}) is taken`;
      return new CodedError("PORT_IN_USE", { message, cause });
    }
    case "EACCES":
      return configInvalid([{ key: portSetting, source: String(port), reason: "is a port this user may not open" }]);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return configInvalid([{ key: "FC_HOST", source: host, reason: "is not an address of this machine" }]);
    default:
      return cause;
  }
}

/** Where a service that listens there is found; an IPv6 address needs brackets in a URL. */
export function httpUrl(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
