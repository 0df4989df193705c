/** Exit codes of every command; listed by `flowcatalyst --help`. */
export const exitCodes = {
  ok: 0,
  /** Something failed that is not one of the below, e.g. a delivery that was followed. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The server could not be reached, or is overloaded. */
  unreachable: 3,
  /** The server refused: not valid, not allowed, in conflict. */
  refused: 4,
  /** There is no such thing. */
  notFound: 5,
} as const;

export const exitCodeHelp = `
Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 server not reached, 4 refused by the server, 5 not found.`;
