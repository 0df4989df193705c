import type { RouterQueue } from "../platform/platform-deps.ts";

/** A queue as `/api/config/router` tells routers of it: without user and password, which they have themselves. */
export function routerQueueOf(queueUrl: string): RouterQueue {
  const queueName = queueUrl.slice(0, queueUrl.indexOf(":"));
  const url = URL.parse(queueUrl);
  if (url === null || url.host === "") return { queueName, queueUri: queueUrl };
  url.username = "";
  url.password = "";
  // The driver of PostgreSQL takes passwords there as well.
  for (const name of ["user", "password", "sslpassword"]) url.searchParams.delete(name);
  return { queueName, queueUri: url.href };
}
