// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import type { Send } from "../operation.ts";
import { messagesApi, type MessagesApi } from "./messages.ts";
import { monitoringApi, type MonitoringApi } from "./monitoring.ts";
import { deadLettersApi, type DeadLettersApi } from "./dead-letters.ts";
import { routerServiceApi, type RouterServiceApi } from "./router-service.ts";

/** Every operation of the router API, by resource. */
export interface RouterApi {
  readonly messages: MessagesApi;
  readonly monitoring: MonitoringApi;
  readonly deadLetters: DeadLettersApi;
  readonly routerService: RouterServiceApi;
}

/** Makes them of something that sends. */
export function routerApi(send: Send): RouterApi {
  return {
    messages: messagesApi(send),
    monitoring: monitoringApi(send),
    deadLetters: deadLettersApi(send),
    routerService: routerServiceApi(send),
  };
}
