/** Writes events, dispatch jobs and audit logs into an outbox table, in the application's own transaction. */
export {};
