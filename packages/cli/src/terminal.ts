/**
 * What commands print. Answers go to standard output: a table for people, or with --json exactly one JSON document (one
 * per line where a command follows something). Everything else goes to standard error. Colours only on a terminal, and
 * never with NO_COLOR (https://no-color.org).
 */
export interface Terminal {
  readonly json: boolean;
  /** One JSON document, or whatever the table makes of it. */
  answer(document: unknown, human: () => string): void;
  /** For people only: progress, hints, warnings. */
  note(text: string): void;
  paint(colour: Colour, text: string): string;
  /** Columns as wide as their widest cell; a dash where there is nothing. */
  table(header: readonly string[], rows: readonly (readonly unknown[])[]): string;
}

export type Colour = "bold" | "red" | "green" | "yellow" | "grey";

const codes: Readonly<Record<Colour, number>> = { bold: 1, red: 31, green: 32, yellow: 33, grey: 90 };

export interface TerminalOptions {
  readonly json: boolean;
  readonly colour: boolean;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

export function createTerminal(options: TerminalOptions): Terminal {
  const paint = (colour: Colour, text: string): string =>
    options.colour ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text;
  return {
    json: options.json,
    answer: (document, human) => options.out(options.json ? JSON.stringify(document) : human()),
    note: (text) => options.err(text),
    paint,
    table(header, rows) {
      if (rows.length === 0) return "none";
      const [head = "", ...lines] = aligned([header, ...rows.map((row) => row.map(cell))]);
      return [paint("bold", head), ...lines].map((line) => paintStatus(line, paint)).join("\n");
    },
  };
}

/** Words of our own state machines that deserve a look, wherever they stand in a line. */
const statusColours: readonly (readonly [RegExp, Colour])[] = [
  [/\b(FAILED|EXPIRED|GROUP_BLOCKED|NOT_MATCHED)\b/g, "red"],
  [/\b(PAUSED|SUSPENDED|CANCELLED|SUBSCRIPTION_PAUSED|POOL_SUSPENDED|WAITING_RETRY)\b/g, "yellow"],
  [/\b(COMPLETED|DELIVERED)\b/g, "green"],
];

function paintStatus(line: string, paint: Terminal["paint"]): string {
  return statusColours.reduce((text, [words, colour]) => text.replace(words, (word) => paint(colour, word)), line);
}

function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** `name  value` lines of one entity; members that are null or empty are left out. */
export function details(entity: object): string {
  const entries = Object.entries(entity).filter(([, value]) => !isEmpty(value));
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`).join("\n");
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function cell(value: unknown): string {
  if (isEmpty(value)) return "-";
  if (typeof value === "string") return oneLine(value);
  return oneLine(JSON.stringify(value));
}

/** A text from elsewhere: what could end the line or steer the terminal is shown as an escape. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
