import { expect, test } from "bun:test";
import { wrapComments } from "./wrap-comments.ts";

const words = (count: number, word = "words") => Array.from({ length: count }, () => word).join(" ");

test("what does not fit moves to the front of the next line of the paragraph", () => {
  const wrapped = wrapComments(` * ${words(21)}\n * end.\n`);
  expect(wrapped).toBe(` * ${words(19)}\n * words words end.\n`);
});

test("a tag, a list item and code below are not run into", () => {
  for (const below of [" * @throws never", " * - item", "const x = 1;"]) {
    expect(wrapComments(` * ${words(21)}\n${below}\n`)).toBe(` * ${words(19)}\n * words words\n${below}\n`);
  }
});

test("the opening line of a block continues with a star", () => {
  expect(wrapComments(`  /** ${words(21)}\n   */`)).toBe(`  /** ${words(19)}\n   * words words\n   */`);
});

test("a block comment of one line becomes a block", () => {
  expect(wrapComments(`  /** ${words(20)} */`)).toBe(`  /**\n   * ${words(19)}\n   * words\n   */`);
});

test("short comments, code and unbreakable words stay as they are", () => {
  const text = [`// ${words(5)}`, `const x = "${words(40)}";`, `// https://${"x".repeat(130)}`].join("\n");
  expect(wrapComments(text)).toBe(text);
});
