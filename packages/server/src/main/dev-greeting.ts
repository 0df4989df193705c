/** Corrected when the services listen: until then a port of 0 is what was asked for. */
export type Addresses = { api: string; router: string; metrics: string };

/** What `flowcatalyst dev` prints when it is up: where it is, and three lines to paste. */
export function devGreeting(facts: {
  readonly version: string;
  readonly addresses: Addresses;
  readonly database: string;
  /** The application's database whose outbox is read; null: none. */
  readonly outbox: string | null;
  readonly needsToken: boolean;
}): readonly string[] {
  const { api, router, metrics } = facts.addresses;
  const token = facts.needsToken ? ` -H "authorization: Bearer $TOKEN"` : "";
  const json = `-H 'content-type: application/json'${token}`;
  const subscription = `{"name":"hello","eventTypes":["order.*"],"targetUrl":"${api}/dev/receiver/hello"}`;
  const event = `{"type":"order.created","source":"shop","messageGroup":"order-1","data":{"total":42}}`;
  return [
    `FlowCatalyst ${facts.version} is up`,
    `  API      ${api}  (documentation at ${api}/swagger-ui)`,
    `  router   ${router}`,
    `  health   ${metrics}/q/health`,
    `  data     ${facts.database}`,
    ...(facts.outbox === null ? [] : [`  outbox   ${facts.outbox}`]),
    "",
    "Subscribe the built-in receiver, publish, and look at what came:",
    "",
    `curl -s ${api}/api/subscriptions ${json} -d '${subscription}'`,
    `curl -s ${api}/api/events ${json} -d '${event}'`,
    `curl -s '${api}/dev/receiver/hello/requests?waitMs=5000'${token}`,
    "",
    "Deliveries:",
  ];
}
