/**
 * What commands print. Answers go to standard output: a table for people, or with --json exactly one JSON document (one
 * per line where a command follows something). Everything else goes to standard error. Colours only on a terminal, and
 * never with NO_COLOR (https://no-color.org).
 */
export interface Terminal {
  readonly json: boolean;
  /** One JSON document, or whatever the table makes of it. */
  answer(document: unknown, human: () => string): void;
  line(text: string): void;
  note(text: string): void;
  bold(text: string): string;
  paint(colour: Colour, text: string): string;
}

export type Colour = "red" | "green" | "yellow" | "grey";

const codes: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, grey: 90 };

export interface TerminalOptions {
  readonly json: boolean;
  readonly colour: boolean;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

export function createTerminal(options: TerminalOptions): Terminal {
  const escape = (code: number, text: string): string => (options.colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    json: options.json,
    answer: (document, human) => options.out(options.json ? JSON.stringify(document) : human()),
    line: (text) => options.out(text),
    note: (text) => options.err(text),
    bold: (text) => escape(1, text),
    paint: (colour, text) => escape(codes[colour], text),
  };
}

/** Columns as wide as their widest cell; a dash where there is nothing. */
export function table(header: readonly string[], rows: readonly (readonly unknown[])[]): string {
  if (rows.length === 0) return "none";
  const cells = [header, ...rows.map((row) => row.map(cell))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `name  value` lines of one entity; members that are null or empty are left out. */
export function details(entity: object): string {
  const entries = Object.entries(entity).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`).join("\n");
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (typeof value === "string") return value;
  return JSON.stringify(value);
}
