/**
 * The beginning of a response's body as text, at most `maxBytes` of it. What follows is never read: the connection is
 * given up instead, since a body may have no end. Bytes that are no UTF-8 become replacement characters.
 */
export function readResponseText(response: Response, maxBytes: number): Promise<string> {
  const announced = response.headers.get("content-length");
  // The common case. The runtime reads at most what was announced, and making a stream would cost as much as all the
  // rest. Where a coding is named as well the announced length says nothing (RFC 9112, 6.3): chunks may have no end.
  const isShort = announced !== null && Number(announced) <= maxBytes && !response.headers.has("transfer-encoding");
  if (isShort) return response.text();
  const { body } = response;
  return body === null ? Promise.resolve("") : readStart(body, maxBytes);
}

async function readStart(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let leftBytes = maxBytes;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value.subarray(0, leftBytes), { stream: true });
    leftBytes -= value.length;
    if (leftBytes <= 0) {
      await reader.cancel();
      return text;
    }
  }
}
