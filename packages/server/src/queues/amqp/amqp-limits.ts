/** Named limits of the queue on AMQP 1.0 brokers. */
export const amqpQueueLimits = {
  maxMessageBytes: 1_048_576,
  maxBatch: 256,
  /** What the questions of a lane may have under way together, unless the URL says otherwise. */
  credit: 1_000,
  /**
   * After so long in our hands a message is given back, whatever its receiver says: brokers take links away that hold
   * one for long, and ten minutes are promised.
   */
  holdMaxMs: 540_000,
  /** How long a lane that nobody asks keeps the credit it gave to the broker. */
  creditKeptMs: 1_000,
  /** The connection that is asked for at opening is tried for so long. */
  firstConnectMs: 30_000,
  /** One try to connect, to the broker's open frame. */
  connectMs: 10_000,
  reconnectBaseMs: 100,
  reconnectCapMs: 10_000,
  /** A link that the broker does not answer for so long is given up. */
  attachMs: 10_000,
  /** How long a publisher waits for the broker to confirm; then the message is refused. */
  confirmMs: 15_000,
  /** A settlement that is not confirmed for so long: the connection is taken for dead. */
  settleMs: 30_000,
  /** Messages and bytes that wait for the broker's confirmation or for its credit; more are refused. */
  maxUnconfirmed: 2_000,
  maxUnconfirmedBytes: 33_554_432,
  /** Unreadable messages, and their bytes, that are on their way to the dead letters together. */
  maxSettingAside: 1_000,
  maxSettingAsideBytes: 16_777_216,
  /** What cannot be set aside is kept for so long before it is given back. */
  setAsidePauseMs: 10_000,
  /** Unreadable messages, with these without their text, that a lane holds; then it asks for less. */
  maxUnreadableHeld: 10_000,
  /** Characters. */
  maxLetterNameLength: 255,
  maxLetterReasonLength: 2_000,
  /** Of how many messages that came back this process remembers how often they were received. */
  maxRememberedCounts: 100_000,
  /** Seconds without a sign of life after which the broker counts as gone: twice this. */
  heartbeatSeconds: 10,
  /** Dead letters looked through for those that are to be settled. */
  maxDeadLettersSearched: 10_000,
  /** A look at the dead letters is over when nothing has come for so long. */
  deadLetterQuietMs: 300,
} as const;
