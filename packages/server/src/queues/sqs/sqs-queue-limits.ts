/** What SQS allows, and what this adapter allows itself. */
export const sqsLimits = {
  /** Entries of a batch, messages of a receive. */
  maxBatch: 10,
  /** The longest a server keeps a question open. */
  maxPollSeconds: 20,
  /** From its receipt on, a message may stay hidden this long in all. */
  maxHiddenSeconds: 43_200,
  dedupWindowMs: 300_000,
  maxIdLength: 128,
  /** Of a queue that does not say; what all queues took before there were larger ones. */
  messageLimitBytes: 262_144,
  /** Of a queue's message limit: room for the attributes that a dead letter gets. */
  attributesBytes: 2_048,
  reasonMaxBytes: 1_024,
  idMaxBytes: 256,
  retentionSeconds: 1_209_600,
  /** Calls of one publish, ack, nack or extend that are under way at a time. */
  parallelCalls: 4,
  /** From the first byte sent to the last one read, with all tries; for a poll on top of its wait. */
  callTimeoutMs: 10_000,
  /** Tries of entries that failed by themselves while the rest of their batch did not. */
  entryTries: 4,
  entryRetry: { baseMs: 50, capMs: 1_000, jitter: "equal" },
  /** How long opening tries to reach the service, and how. */
  openWithinMs: 30_000,
  openRetry: { baseMs: 200, capMs: 3_000, jitter: "equal" },
  /** What an abandoned poll brought waits this long for the next question; then others may have it. */
  keepArrivedMs: 1_000,
  /** A poll that outlasts the wait of its question by no more than this is waited for. */
  pollSlackMs: 50,
  /** After an empty poll that was over sooner than this, the next one waits as long. */
  shortPollMs: 20,
  /** Polls without an answer that are asked again under their name, at most. */
  maxUnanswered: 64,
  /** A question that is to be answered at once waits this long for what abandoned polls may be bringing. */
  strayGraceMs: 50,
  /** How long closing waits for polls under way to bring what they have. */
  closeGraceMs: 1_000,
  /** How long dead letters are hidden while they are looked at. */
  lookSeconds: 60,
  /** Dead letters looked through in search of others, at most. */
  maxLooked: 10_000,
} as const;
