/** One call of the API of a running server; throws with the answer when it is not 2xx. */
export async function callApi<Answer = unknown>(
  baseUrl: string,
  call: { method: string; path: string; body?: unknown },
): Promise<Answer> {
  const response = await fetch(baseUrl + call.path, {
    method: call.method,
    headers: { "content-type": "application/json" },
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${call.method} ${call.path}: ${response.status} ${text}`);
  return (text === "" ? null : JSON.parse(text)) as Answer;
}

/** Makes a subscription and gives its id and its signing secret. */
export async function subscribe(
  baseUrl: string,
  subscription: Record<string, unknown>,
): Promise<{ id: string; secret: string }> {
  const { id } = await callApi<{ id: string }>(baseUrl, {
    method: "POST",
    path: "/api/subscriptions",
    body: subscription,
  });
  const answer = await callApi<{ secret: string }>(baseUrl, { method: "GET", path: `/api/subscriptions/${id}/secret` });
  return { id, secret: answer.secret };
}

/** An answer as it came, whatever its status. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed body; null when there is none. */
  readonly body: Record<string, unknown>;
}

/** One request, `line` being `METHOD path`; the body is sent as it stands if it is a text, else as JSON. */
export async function request(
  baseUrl: string,
  line: string,
  sent: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<ApiAnswer> {
  const [method = "", path = ""] = line.split(" ");
  const body = sent.body === undefined || typeof sent.body === "string" ? sent.body : JSON.stringify(sent.body);
  const headers = { ...(body === undefined ? {} : { "content-type": "application/json" }), ...sent.headers };
  const response = await fetch(baseUrl + path, { method, headers, ...(body === undefined ? {} : { body }) });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (text === "" ? null : JSON.parse(text)) as Record<string, unknown>,
  };
}
