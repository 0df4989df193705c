/** Receives webhooks in Hono. */
export {};
