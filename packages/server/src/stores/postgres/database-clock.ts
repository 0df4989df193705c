/**
 * The database's own clock in epoch milliseconds, as an SQL expression: what processes with clocks of their own agree
 * on. It is the time at which the expression is evaluated, not that of the transaction's start.
 */
export const databaseNowMs = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
