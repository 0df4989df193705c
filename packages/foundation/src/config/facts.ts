/** What defaults may depend on besides other settings; gathered once by the composition root. */
export type ConfigFacts = {
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  readonly hostName: string;
  readonly pid: number;
};
