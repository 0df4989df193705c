import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { setupPlatform, type TestPlatform } from "./platform.fixture.ts";
import { platformEndpoints, platformOpenApi } from "./platform-openapi.ts";

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

const document = platformOpenApi() as Document;
const operations = Object.values(document.paths).flatMap((item) => Object.values(item));

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

describe("the OpenAPI document", () => {
  test("is 3.1, and has every endpoint once", () => {
    expect(document.openapi).toBe("3.1.0");
    const ids = operations.map(({ operationId }) => operationId);
    expect(ids).toHaveLength(platformEndpoints().length);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("refers to nothing that is not in it", () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref ?? "");
    expect(refs.length).toBeGreaterThan(50);
    for (const ref of new Set(refs)) {
      const found = ref
        .replace("#/", "")
        .split("/")
        .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document);
      expect([ref, found !== undefined]).toEqual([ref, true]);
    }
  });

  test("says what the server does: every operation of it is mounted", async () => {
    for (const { method, path } of platformEndpoints()) {
      const answer = await platform.call(`${method === "get" ? "POST" : "GET"} ${path.replace(/\{\w+\}/g, "x")}`);
      const allowed = answer.headers.get("allow")?.split(", ") ?? [];
      const mounted = answer.status !== 405 || allowed.includes(method.toUpperCase());
      expect([method, path, mounted]).toEqual([method, path, true]);
      expect([path, answer.text.includes("There is nothing at this path")]).toEqual([path, false]);
    }
  });

  test("has no defaults or bodies left undescribed", () => {
    const text = JSON.stringify(document);
    expect(text).not.toContain("$defs");
    expect(document.components.schemas["Problem"]).toBeDefined();
    expect(document.components.schemas["CreateSubscription"]).toMatchObject({ additionalProperties: false });
    expect(operations.every(({ responses }) => "default" in responses)).toBe(true);
  });
});

describe("/openapi.json and /swagger-ui", () => {
  test("are served from inside", async () => {
    expect((await platform.call("GET /openapi.json")).json).toEqual(JSON.parse(JSON.stringify(document)));
    const page = await platform.call("GET /swagger-ui");
    expect(page.headers.get("content-type")).toStartWith("text/html");
    const assets = [...page.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path ?? "");
    expect(assets).toHaveLength(4);
    for (const path of assets) {
      const asset = await platform.call(`GET ${path}`);
      expect([path, asset.status]).toEqual([path, 200]);
      expect(asset.text.length).toBeGreaterThan(100);
    }
    expect(page.text).not.toMatch(/https?:\/\//);
  });
});
