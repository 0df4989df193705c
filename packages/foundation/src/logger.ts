import { pino, type BaseLogger, type Logger as PinoRoot } from "pino";
import { isoTime, type Clock } from "./clock.ts";
import { redactFields, redactText } from "./redaction.ts";
import { formatTextLine } from "./text-log.ts";

/**
 * Logging.
 *
 * The product sees four methods: fields first, then a message that is a constant sentence, so that equal happenings
 * can be counted by it. pino stands behind them. Its transports are not used: they are worker threads that load
 * modules by path, which a compiled executable does not have. Lines are written synchronously, so that the last one
 * before a crash is not lost; there are few, because a log line means that something happened.
 *
 * Secrets are taken out by key name at any depth, and out of texts by their shape (see redaction.ts).
 */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds these fields to every line. */
  child(fields: LogFields): Logger;
}

export type LogFields = Readonly<Record<string, unknown>>;

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ["json", "text"] as const;
export type LogFormat = (typeof logFormats)[number];

/** Takes whole lines, each with its line end. */
export type LogDestination = { write(line: string): void };

export type LoggerOptions = {
  readonly level: LogLevel;
  /** `json`: one object a line for machines. `text`: one readable line for a terminal. */
  readonly format: LogFormat;
  /** Standard output unless given. */
  readonly destination?: LogDestination;
  readonly clock?: Pick<Clock, "now">;
  /** Colours for `text`; none unless asked for (the caller knows about terminals and NO_COLOR). */
  readonly colour?: boolean;
};

export function createLogger(options: LoggerOptions): Logger {
  const now = options.clock === undefined ? Date.now : options.clock.now.bind(options.clock);
  const out = options.destination ?? pino.destination({ fd: 1, sync: true });
  const target: LogDestination =
    options.format === "json"
      ? out
      : { write: (line) => out.write(formatTextLine(line, { colour: options.colour ?? false })) };
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${isoTime(now())}"`,
      messageKey: "message",
      formatters: { level: (label) => ({ level: label }) },
    },
    target,
  );
  return wrap(root);
}

/** Says nothing: for tests and for commands whose output is the result. */
export function silentLogger(): Logger {
  const nothing = (): void => undefined;
  const logger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => logger };
  return logger;
}

type PinoLogger = BaseLogger & Pick<PinoRoot, "isLevelEnabled"> & { child(fields: LogFields): PinoLogger };

function wrap(target: PinoLogger): Logger {
  // Levels that are off must cost nothing: fields are copied only for a line that will be written.
  const write = (level: Exclude<LogLevel, "silent">, fields: LogFields, message: string): void => {
    if (target.isLevelEnabled(level)) target[level](redactFields(fields), redactText(message));
  };
  return {
    debug: (fields, message) => write("debug", fields, message),
    info: (fields, message) => write("info", fields, message),
    warn: (fields, message) => write("warn", fields, message),
    error: (fields, message) => write("error", fields, message),
    child: (fields) => wrap(target.child(redactFields(fields))),
  };
}
