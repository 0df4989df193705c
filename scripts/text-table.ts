/** Rows as lines of text, each cell wrapped to its column's width, at spaces and after hyphens where it can be. */
export function textTable(rows: readonly (readonly string[])[], widths: readonly number[]): readonly string[] {
  return rows.flatMap((row) => {
    const cells = row.map((text, at) => wrapped(text, widths[at] ?? text.length));
    const height = Math.max(...cells.map(({ length }) => length));
    return Array.from({ length: height }, (_, line) =>
      cells
        .map((lines, at) => (lines[line] ?? "").padEnd(widths[at] ?? 0))
        .join(" ")
        .trimEnd(),
    );
  });
}

/** Later lines are indented as the first one is. */
function wrapped(text: string, width: number): readonly string[] {
  const indent = " ".repeat(text.length - text.trimStart().length);
  const lines: string[] = [];
  let line = indent;
  for (const part of partsOf(text.trimStart(), width - indent.length)) {
    if (line.length > indent.length && (line + part).trimEnd().length > width) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += part;
  }
  lines.push(line.trimEnd());
  return lines;
}

/** A part longer than a line is cut. */
function partsOf(text: string, width: number): readonly string[] {
  const parts = text.match(/[^\s-]*(?:-+|\s+|$)/g) ?? [];
  return parts.flatMap((part) => part.match(new RegExp(`.{1,${Math.max(width, 1)}}\\s*`, "g")) ?? []);
}
