import { expect, test } from "bun:test";
import { madeOnFirstRequest } from "./http-service.ts";

const request = new Request("http://router/");

test("a handler is made when the first request comes, and once", async () => {
  let made = 0;
  const handler = madeOnFirstRequest(async () => {
    made += 1;
    return { fetch: () => new Response("made") };
  });
  expect(made).toBe(0);
  const answers = await Promise.all([handler.fetch(request), handler.fetch(request)]);
  expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(["made", "made"]);
  expect(made).toBe(1);
});

test("one that could not be made is tried again", async () => {
  let tries = 0;
  const handler = madeOnFirstRequest(async () => {
    tries += 1;
    if (tries === 1) throw new Error("not now");
    return { fetch: () => new Response("made") };
  });
  const first = await Promise.resolve(handler.fetch(request)).then(() => "answered", String);
  expect(first).toContain("not now");
  expect((await handler.fetch(request)).status).toBe(200);
});
