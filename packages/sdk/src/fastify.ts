/** Receives webhooks in Fastify. */
export {};
