import { describe, expect, test } from "bun:test";
import { isCodedError } from "@flowcatalyst/foundation";
import { createBodyReader, type BodyReader } from "./body-reader.ts";

const KIB = 1_024;
const MIB = KIB * KIB;

/** A body without a declared length that counts what is asked of it. */
function streamed(chunkBytes: number, chunks: number): { readonly request: Request; pulled(): number } {
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (pulled === chunks) return controller.close();
      pulled++;
      controller.enqueue(new Uint8Array(chunkBytes).fill(0x20));
    },
  });
  return { request: new Request("http://x/", { method: "POST", body }), pulled: () => pulled };
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return isCodedError(error) ? error.code : "not coded";
  }
}

const request = (
  body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null,
  headers: Record<string, string> = {},
): Request => new Request("http://x/", { method: "POST", body, headers });

describe("reading a body", () => {
  test("gives its text, and holds nothing afterwards", async () => {
    const reader = createBodyReader();
    expect(await reader.text(request('{"ü":1}'))).toBe('{"ü":1}');
    expect(await reader.text(request(null))).toBe("");
    expect(reader.heldBytes).toBe(0);
  });

  test("refuses a declared length before anything is read", async () => {
    const reader = createBodyReader({ bodyMaxBytes: 100, budgetMaxBytes: 1_000 });
    expect(await codeOf(reader.text(request("x", { "content-length": "100" })))).toBe("PAYLOAD_TOO_LARGE");
  });

  test("refuses a body without a length as soon as it passes the limit, and does not read on", async () => {
    const reader = createBodyReader({ bodyMaxBytes: 2 * MIB, budgetMaxBytes: 10 * MIB });
    const { request: endless, pulled } = streamed(64 * KIB, 10_000);
    expect(await codeOf(reader.text(endless))).toBe("PAYLOAD_TOO_LARGE");
    expect(pulled()).toBeLessThan(40);
    expect(reader.heldBytes).toBe(0);
  });

  test("takes a body without a length below the limit", async () => {
    const reader = createBodyReader({ bodyMaxBytes: 2 * MIB, budgetMaxBytes: 10 * MIB });
    expect(await reader.text(streamed(64 * KIB, 16).request)).toHaveLength(MIB);
  });

  test("refuses what would pass the budget of all bodies, and takes it once there is room", async () => {
    const reader: BodyReader = createBodyReader({ bodyMaxBytes: 4 * MIB, budgetMaxBytes: 3 * MIB });
    const released = Promise.withResolvers<undefined>();
    const arrived = Promise.withResolvers<undefined>();
    let sent = false;
    const slow = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        if (!sent) {
          sent = true;
          controller.enqueue(new Uint8Array(1.5 * MIB));
          return;
        }
        arrived.resolve(undefined);
        await released.promise;
        controller.close();
      },
    });
    const first = reader.bytes(request(slow));
    await arrived.promise;
    expect(reader.heldBytes).toBe(1.5 * MIB);
    expect(await codeOf(reader.bytes(streamed(MIB, 2).request))).toBe("OVERLOADED");
    released.resolve(undefined);
    expect((await first).byteLength).toBe(1.5 * MIB);
    expect(reader.heldBytes).toBe(0);
    expect((await reader.bytes(streamed(MIB, 1).request)).byteLength).toBe(MIB);
  });

  test("refuses what is not UTF-8, and compressed bodies", async () => {
    const reader = createBodyReader();
    expect(await codeOf(reader.text(request(new Uint8Array([0x22, 0xff, 0x22]))))).toBe("MALFORMED_JSON");
    expect(await codeOf(reader.text(request("x", { "content-encoding": "gzip" })))).toBe("UNSUPPORTED_MEDIA_TYPE");
  });

  test("that breaks off is refused, and frees what it held", async () => {
    const reader = createBodyReader();
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new Uint8Array(10));
        controller.error(new Error("gone"));
      },
    });
    expect(await codeOf(reader.text(request(broken)))).toBe("MALFORMED_JSON");
    expect(reader.heldBytes).toBe(0);
  });
});
