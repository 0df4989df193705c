const MAX_LINE_CHARS = 120;
/** Indentation, the comment's marker, its text. The opening `/**` continues as ` *`. */
const COMMENT_LINE = /^(\s*)(\/\/|\*|\/\*\*) (\s*\S.*)$/;
const ONE_LINER = /^(\s*)\/\*\* (.*) \*\/$/;
/** Lines that begin something of their own and must not be run into: tags, lists, tables, ends of comments. */
const OWN_LINE = /^(@|[-*|#>]|\d+\.|\s|.*\*\/$)/;

/**
 * Breaks comment lines that are too long, which oxfmt leaves alone. What does not fit moves to the front of the next
 * line of the same paragraph, or to a line of its own.
 */
export function wrapComments(text: string): string {
  const lines = text.split("\n").flatMap(openLongOneLiner);
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const [, indent = "", marker = "", body = ""] = COMMENT_LINE.exec(line) ?? [];
    const cut = line.lastIndexOf(" ", MAX_LINE_CHARS);
    if (line.length <= MAX_LINE_CHARS || body === "" || line.endsWith("*/")) continue;
    if (cut <= indent.length + marker.length) continue;

    const prefix = marker === "//" ? `${indent}// ` : `${indent}${marker === "/**" ? " " : ""}* `;
    const rest = line.slice(cut + 1);
    const next = lines[at + 1] ?? "";
    const nextBody = next.startsWith(prefix) ? next.slice(prefix.length) : "";
    lines[at] = line.slice(0, cut);
    if (nextBody === "" || OWN_LINE.test(nextBody)) lines.splice(at + 1, 0, prefix + rest);
    else lines[at + 1] = `${prefix}${rest} ${nextBody}`;
  }
  return lines.join("\n");
}

/** A block comment of one line that is too long becomes a block of its own lines. */
function openLongOneLiner(line: string): readonly string[] {
  const [, indent, body] = ONE_LINER.exec(line) ?? [];
  if (line.length <= MAX_LINE_CHARS || indent === undefined || body === undefined) return [line];
  return [`${indent}/**`, `${indent} * ${body}`, `${indent} */`];
}
