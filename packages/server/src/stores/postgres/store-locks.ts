/** Keys of advisory locks: any constants will do, as long as nobody else in the database uses them. */
export const storeLocks = {
  /** Feeds that are made, and pools that are suspended. */
  holds: 7_301_846_520_134,
  /** Partitions of history that are made. */
  partitions: 7_301_846_520_135,
  /** A node number that is chosen. */
  nodeNumbers: 7_301_846_520_136,
} as const;
