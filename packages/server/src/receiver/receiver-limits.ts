export const receiverLimits = {
  maxReceivers: 100,
  maxRequestsPerReceiver: 500,
  /** Of a body; what is behind it is not kept. */
  bodyKeptMaxBytes: 65_536,
  /** Of all requests of all receivers together. */
  keptMaxBytes: 16 * 1_048_576,
  bodyMaxBytes: 1_048_576,
  hangMaxMs: 300_000,
  delayMaxMs: 300_000,
  waitMaxMs: 60_000,
} as const;
