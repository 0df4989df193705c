/** Receives webhooks in Express. */
export {};
