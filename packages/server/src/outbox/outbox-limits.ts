/** What the processor holds, sends and waits for at most. */
export const outboxProcessorLimits = {
  /** Rows claimed and not settled yet. More are claimed when half of it is free. */
  inHandMaxRows: 5_000,
  inHandMaxBytes: 67_108_864,
  /** Of one request, in characters of its items. */
  batchMaxChars: 8_388_608,
  payloadMaxBytes: 1_048_576,
  /** Rows one claim looks at. */
  maxScanned: 5_000,
  /** A look at the tail that saw fewer rows has come to its end; if not, the next poll sees the rest. */
  fullLookRows: 500,
  /** Of the sweep: looks that find nothing to take, per second, after the first sweep of a term. */
  emptyLooksPerSecond: 20,
  /** Wake-ups that come faster than this share a look. */
  wakeSpacingMs: 5,
  /** The tail rests a millisecond for so many held rows in it, up to the time between two empty looks. */
  passedOverRowsPerMs: 100,
  /** Rows of a transaction that commits later than this after their insertion are found by the sweep. */
  tailOverlapMs: 5_000,
  /** For so long after a sweep found rows the tail begins at the sweep's last window. */
  tailDoubtMs: 60_000,
  /** Claims that failed in a row make the source DOWN, although its lease can be renewed. */
  downAfterClaims: 3,
  /** Between two looks of one that stands by at whether the tables are as they should be. */
  standByVerifyMs: 10_000,
  /** What has not been sent for so long goes back; well below `leftBehindMs`, which would take it from under us. */
  inHandMaxMs: 120_000,
  /** In progress for so long: left behind by a crash. */
  leftBehindMs: 300_000,
  upkeepMs: 60_000,
  countMs: 10_000,
  /** SUCCESS rows deleted by one statement. */
  deleteMaxRows: 5_000,
  requestTimeoutMs: 30_000,
  /** Requests under way at a stop get this long. */
  stopGraceMs: 3_000,
  leaseTtlMs: 5_000,
  /** Results written by one call to the source. */
  settleMaxRows: 2_500,
  /** Between two tries to write the result of a row that the application has locked. */
  lockedRetryMs: 500,
  /** Nothing is sent for so long after the other side was found away; doubled each time. */
  awayFirstMs: 1_000,
  awayMaxMs: 60_000,
} as const;
