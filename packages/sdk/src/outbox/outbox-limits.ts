/** What is checked before a row is written: a row beyond them would be refused later, far from who wrote it. */
export const outboxLimits = {
  /** Entries of one call. */
  entriesMax: 10_000,
  /** Data of an event, payload of a job, data of an audit log, as JSON in UTF-8. */
  dataMaxBytes: 262_144,
  /** The whole row's payload, as JSON in UTF-8. */
  payloadMaxBytes: 1_048_576,
  /** Message group and the ids that go with an entry. */
  keyMaxChars: 255,
  /** What the columns hold. */
  idMaxChars: 26,
  clientIdMaxChars: 26,
  eventTypeMaxChars: 255,
  sourceMaxChars: 2_048,
  subjectMaxChars: 1_024,
  urlMaxChars: 2_048,
  contextDataMaxItems: 100,
  contextValueMaxChars: 4_096,
} as const;
