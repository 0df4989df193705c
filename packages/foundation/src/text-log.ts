/** Turns a JSON log line into one a person reads: time, level, message, then the fields as `key=value`. */

type Parsed = Record<string, unknown>;

const LEVEL_LABELS: Readonly<Record<string, { label: string; colour: string }>> = {
  debug: { label: "DEBUG", colour: "\u001b[2m" },
  info: { label: "INFO ", colour: "\u001b[32m" },
  warn: { label: "WARN ", colour: "\u001b[33m" },
  error: { label: "ERROR", colour: "\u001b[31m" },
};
const DIM = "\u001b[2m";
const RESET = "\u001b[0m";
/** `HH:MM:SS.mmm` of an RFC 3339 time; the day is the same for everything on a screen. */
const TIME_START = 11;
const TIME_END = 23;

/** A line that is no JSON object is passed on as it is. The result ends with a line end. */
export function formatTextLine(line: string, options: { readonly colour: boolean }): string {
  const parsed = parse(line);
  if (parsed === undefined) return line;
  const { time, level, message, ...fields } = parsed;
  const paint = (code: string, text: string): string => (options.colour ? `${code}${text}${RESET}` : text);
  const shownLevel = LEVEL_LABELS[String(level)] ?? { label: String(level), colour: "" };
  const stacks: string[] = [];
  const pairs = Object.entries(fields).map(([key, value]) => `${paint(DIM, `${key}=`)}${show(value, stacks)}`);
  const head = [
    paint(DIM, String(time).slice(TIME_START, TIME_END)),
    paint(shownLevel.colour, shownLevel.label),
    typeof message === "string" ? message : "",
  ];
  return `${[...head, ...pairs].join(" ")}\n${stacks.map((stack) => `${stack}\n`).join("")}`;
}

function parse(line: string): Parsed | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Parsed) : undefined;
  } catch {
    return undefined;
  }
}

/** An error shows its chain of messages on the line; its stack follows below. */
function show(value: unknown, stacks: string[]): string {
  if (typeof value === "string") return /[\s"=]/.test(value) || value === "" ? JSON.stringify(value) : value;
  if (!isErrorShape(value)) return JSON.stringify(value) ?? "";
  if (value.stack !== undefined) stacks.push(indent(value.stack));
  const messages: string[] = [];
  for (let current: unknown = value; isErrorShape(current); current = current.cause) {
    messages.push(current.code === undefined ? current.message : `${current.code} ${current.message}`);
  }
  return JSON.stringify(messages.join(": "));
}

type ErrorShape = { message: string; name: string; code?: string; stack?: string; cause?: unknown };

function isErrorShape(value: unknown): value is ErrorShape {
  if (typeof value !== "object" || value === null) return false;
  const { name, message, code, stack } = value as Readonly<Record<string, unknown>>;
  const texts = [code ?? "", stack ?? ""].every((member) => typeof member === "string");
  return texts && typeof name === "string" && typeof message === "string";
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
