import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { amqpVersion } from "./amqp-greeting.ts";
import { type BrokerServer, createBroker } from "./broker-process.ts";
import { mavenJars } from "./maven-jars.ts";
import { giveFile, giveFolder, ServiceFault } from "./private-service.ts";

/**
 * A private ActiveMQ (Classic): its queues and scheduled messages in a temporary folder (KahaDB), loopback, AMQP 1.0
 * and nothing else, no console, no management. Whoever connects does so by SASL's ANONYMOUS; without SASL, nobody does.
 *
 * Debian's package leaves out the transport for AMQP and the library under it. Both are on Maven Central, of the very
 * version; `fetchActivemqTransport` has Maven bring them into a cache of the user, and whatever is there is used only
 * while its SHA-256 is the one written here.
 *
 * The broker's defaults hold but for these: messages may be scheduled; it remembers the owner of every message group
 * (by default of the last 1024 used, which gives a group to a second consumer while the first one still has it); stores
 * are limited to what a test machine has. `policy` adds attributes to the policy of all queues.
 */
export interface ActivemqServerOptions {
  readonly outlives?: boolean;
  readonly settings?: ActivemqSettings;
}

export interface ActivemqSettings {
  /** Attributes of the broker: `{ advisorySupport: "true" }`. */
  readonly broker?: Readonly<Record<string, string>>;
  /** Attributes of the policy for all queues: `{ queuePrefetch: "10" }`. */
  readonly policy?: Readonly<Record<string, string>>;
  /** Parameters of the transport: `{ "transport.wireFormat.maxFrameSize": "1048576" }`. */
  readonly transport?: Readonly<Record<string, string>>;
}

const transportJars = mavenJars("activemq", [
  {
    artifact: "org.apache.activemq:activemq-amqp:5.17.2",
    sha256: "8de181cf88ff3f2d4b7ff29e96e0542bca4128a97f13e14bea65002b76d18abd",
  },
  {
    artifact: "org.apache.qpid:proton-j:0.33.10",
    sha256: "1fcddf5c76e70eff331900443c51e1a2c8d313b5ffc70611995fadfb6c36d96a",
  },
]);
const debianJars = ["/usr/share/activemq/lib", "/usr/share/activemq/lib/optional"];
const largestFrameBytes = 100 * 1024 * 1024;

/** What Debian installs: the broker without its transport for AMQP. */
export function hasActivemqPackage(): boolean {
  return existsSync(`${debianJars[0]}/activemq-broker.jar`) && Bun.which("java") !== null;
}

/** True if all that a private instance needs is there. */
export function findActivemq(): boolean {
  return hasActivemqPackage() && transportJars.areThere();
}

/** Brings the transport for AMQP by Maven, from wherever Maven's settings point it. */
export async function fetchActivemqTransport(): Promise<void> {
  await transportJars.fetch();
}

export async function createActivemqServer(options: ActivemqServerOptions = {}): Promise<BrokerServer> {
  if (!hasActivemqPackage()) throw new ServiceFault("ActiveMQ (activemq, with Java) is not installed");
  if (!findActivemq()) throw new ServiceFault("ActiveMQ has no transport for AMQP: scripts/services install activemq");
  return createBroker({
    title: "ActiveMQ",
    name: "activemq",
    account: "activemq",
    outlives: options.outlives ?? false,
    readyWithinMs: 60_000,
    pollMs: 50,
    describe: async (folder, port) => {
      giveFolder(folder, join(folder.path, "data"));
      const config = join(folder.path, "activemq.xml");
      giveFile(folder, config, brokerXml(port, join(folder.path, "data"), options.settings ?? {}));
      const logging = join(folder.path, "log4j.properties");
      giveFile(folder, logging, logToConsole);
      const command = [
        "java",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        `-Dlog4j.configuration=file:${logging}`,
        `-Djava.io.tmpdir=${folder.path}`,
        "-XX:-UsePerfData",
        "-cp",
        classPath(folder.path),
        "org.apache.activemq.console.Main",
        "start",
        `xbean:file:${config}`,
      ];
      const url = `amqp://127.0.0.1:${port}`;
      return { url, command, environment: { HOME: folder.path }, probe: () => amqpVersion(url) };
    },
  });
}

function classPath(folder: string): string {
  const own = transportJars.copyTo(folder);
  const debian = debianJars.flatMap((path) => readdirSync(path).map((name) => join(path, name)));
  return [...debian.filter((path) => path.endsWith(".jar")), ...own].join(":");
}

function brokerXml(port: number, data: string, { broker, policy, transport }: ActivemqSettings): string {
  const brokerAttributes = attributes({
    brokerName: "flowcatalyst",
    dataDirectory: data,
    persistent: "true",
    schedulerSupport: "true",
    advisorySupport: "false",
    useJmx: "false",
    ...broker,
  });
  const query = { "transport.wireFormat.maxFrameSize": String(largestFrameBytes), ...transport };
  const uri = `amqp://127.0.0.1:${port}?${new URLSearchParams(query).toString()}`;
  return `<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
  http://www.springframework.org/schema/beans/spring-beans.xsd http://activemq.apache.org/schema/core
  http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" ${brokerAttributes}>
    <destinationPolicy><policyMap><policyEntries>
      <policyEntry ${attributes({ queue: ">", ...policy })}>
        <messageGroupMapFactory><simpleMessageGroupMapFactory/></messageGroupMapFactory>
      </policyEntry>
    </policyEntries></policyMap></destinationPolicy>
    <persistenceAdapter><kahaDB ${attributes({ directory: join(data, "kahadb") })}/></persistenceAdapter>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage limit="256 mb"/></memoryUsage>
      <storeUsage><storeUsage limit="4 gb"/></storeUsage>
      <tempUsage><tempUsage limit="1 gb"/></tempUsage>
      <jobSchedulerUsage><jobSchedulerUsage limit="1 gb"/></jobSchedulerUsage>
    </systemUsage></systemUsage>
    <transportConnectors><transportConnector ${attributes({ name: "amqp", uri })}/></transportConnectors>
  </broker>
</beans>
`;
}

const logToConsole = `log4j.rootLogger=WARN, console
log4j.logger.org.apache.activemq.broker=INFO
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c: %m%n
`;

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${Bun.escapeHTML(value)}"`)
    .join(" ");
}
