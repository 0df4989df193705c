/** Client of a router's own API (port 8081): stand-alone messages, dead letters, what is in its pipeline. */
import { routerApi, type RouterApi } from "./generated/router-api.ts";
import { HttpClient, type ClientOptions } from "./http-client.ts";

/** A client of one router; make it with `createRouterClient`. */
export interface RouterClient extends RouterApi {
  /** Sends what no method is there for. */
  readonly http: HttpClient;
}

/** Makes a client of the router at `baseUrl`, such as `http://127.0.0.1:8081`. Nothing is sent until it is called. */
export function createRouterClient(options: ClientOptions): RouterClient {
  const http = new HttpClient(options);
  return { http, ...routerApi((operation) => http.call(operation)) };
}
