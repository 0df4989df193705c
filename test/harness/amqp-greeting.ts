import rhea from "rhea";

/** The version that a broker of AMQP 1.0 gives when a connection is opened; null: none opens there. */
export function amqpVersion(url: string): Promise<string | null> {
  const { hostname, port, username, password } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<string | null>();
  // ActiveMQ refuses who does not go through SASL; a name without a password is SASL's ANONYMOUS.
  const account = username === "" ? { username: "anonymous" } : { username, password };
  const connection = rhea
    .create_container()
    .connect({ host: hostname, port: Number(port), reconnect: false, ...account });
  const timer = setTimeout(() => end(null), 2_000);
  const end = (version: string | null): void => {
    clearTimeout(timer);
    resolve(version);
    connection.close();
  };
  connection.once("connection_open", () => end(String(connection.properties?.["version"] ?? "unknown")));
  for (const event of ["connection_error", "disconnected", "error"]) connection.on(event, () => end(null));
  return promise;
}
