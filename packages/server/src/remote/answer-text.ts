/** The text of an answer, read to its end; null when it is longer than that, and then no more of it is read. */
export async function answerText(response: Response, maxBytes: number): Promise<string | null> {
  if (response.body === null) return "";
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = "";
  let leftBytes = maxBytes;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    leftBytes -= value.length;
    if (leftBytes < 0) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}
