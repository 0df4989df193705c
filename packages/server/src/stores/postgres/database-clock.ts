/**
 * The database's own clock in epoch milliseconds, as an SQL expression: what processes with clocks of their own agree
 * on. It is the time at which the expression is evaluated, not that of the transaction's start. A function of ours (see
 * migration-0001-settings.ts), so that a test can set it; PostgreSQL puts its body in place of the call.
 */
export const databaseNowMs = "flowcatalyst_now_ms()";
