import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dir, "../..");

/**
 * A fenced block of a document. What a test is to do with it stands in HTML comments on the lines before the fence,
 * where a reader does not see them:
 *
 * - `not run: REASON`: it is not executed;
 * - `shows: TEXT`: what it prints must hold this;
 * - `shows soon: TEXT`: the same, asked again and again for a while;
 * - `handler`: TypeScript that exports a function `receive`;
 * - `ddl: ENGINE`, `from: FILE`: it is what that prints, or stands in that file.
 */
export interface Block {
  readonly language: string;
  readonly code: string;
  /** Of the fence, from 1. */
  readonly line: number;
  readonly markers: readonly Marker[];
}

export interface Marker {
  readonly name: string;
  readonly text: string;
}

const fence = /^```(\w*)$/;
const comment = /^<!-- ([a-z ]+?)(?:: (.*))? -->$/;

export function readDocument(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

export function blocksOf(path: string): readonly Block[] {
  const lines = readDocument(path).split("\n");
  const blocks: Block[] = [];
  let markers: Marker[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const text = lines[at] ?? "";
    const marker = comment.exec(text);
    const opening = fence.exec(text);
    if (marker !== null) markers.push({ name: marker[1] ?? "", text: marker[2] ?? "" });
    if (opening !== null) {
      const end = lines.indexOf("```", at + 1);
      if (end < 0) throw new Error(`${path}:${at + 1}: the block does not end`);
      const code = lines.slice(at + 1, end).join("\n");
      blocks.push({ language: opening[1] ?? "", code, line: at + 1, markers });
      at = end;
    }
    if (marker === null) markers = [];
  }
  return blocks;
}

export function markerOf(block: Block, name: string): string | undefined {
  return block.markers.find((marker) => marker.name === name)?.text;
}

export interface Link {
  readonly target: string;
  readonly line: number;
}

/** Links to places in the repository; those of the web are left to their readers. */
export function ownLinksOf(path: string): readonly Link[] {
  return readDocument(path)
    .split("\n")
    .flatMap((text, at) =>
      Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), (match) => ({ target: match[1] ?? "", line: at + 1 })),
    )
    .filter(({ target }) => !/^[a-z]+:/.test(target));
}

/** Anchors of headings, made as GitHub makes them (a repeated one is numbered), and those that stand as HTML. */
export function anchorsOf(path: string): ReadonlySet<string> {
  const text = readDocument(path);
  const found = new Set(Array.from(text.matchAll(/<a id="([^"]+)">/g), ([, id = ""]) => id));
  const repeats = new Map<string, number>();
  for (const [, heading = ""] of text.matchAll(/^#+ (.+)$/gm)) {
    const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "");
    const anchor = plain.replaceAll(" ", "-");
    const before = repeats.get(anchor) ?? 0;
    repeats.set(anchor, before + 1);
    found.add(before === 0 ? anchor : `${anchor}-${before}`);
  }
  return found;
}

/** Rows of all tables, as cells, without heads. */
export function tableRowsOf(path: string): readonly (readonly string[])[] {
  return readDocument(path)
    .split("\n")
    .filter((line, at, lines) => line.startsWith("|") && !isRuler(line) && !isRuler(lines[at + 1] ?? ""))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );
}

function isRuler(line: string): boolean {
  return /^\|(-+\|)+$/.test(line);
}
