import {
  createActivemqServer,
  fetchActivemqTransport,
  findActivemq,
  hasActivemqPackage,
} from "../test/harness/activemq-server.ts";
import { amqpVersion } from "../test/harness/amqp-greeting.ts";
import { stopBrokerAt } from "../test/harness/broker-process.ts";
import { createMariadbServer, findMariadb, forgetfulMariadb, mariadbVersion } from "../test/harness/mariadb-server.ts";
import {
  createMongoServer,
  fetchMongo,
  findMongo,
  hasJavaCompiler,
  mongoVersion,
} from "../test/harness/mongo-server.ts";
import { createNatsServer, findNats, natsVersion } from "../test/harness/nats-server.ts";
import {
  answersPostgres,
  createPostgresServer,
  findPostgres,
  forgetfulSettings,
  stopPostgresAt,
} from "../test/harness/postgres-server.ts";
import type { ServiceFolder } from "../test/harness/private-service.ts";
import { createRabbitServer, findRabbit } from "../test/harness/rabbitmq-server.ts";
import { answersRedis, createRedisServer, findRedis, stopRedisAt } from "../test/harness/redis-server.ts";
import { createSqsServer, sqsVersion } from "../test/harness/sqs-server.ts";

/**
 * The services that `scripts/services` knows, each by its name there.
 *
 * PostgreSQL and MariaDB run without fsync here: a crash of the machine may cost the data of a test. Benchmarks and
 * chaos tests start their own instances (test/harness), with the server's defaults. ActiveMQ needs more than Debian
 * has, and Maven to fetch it; so does the server for MongoDB, which is all from there. The emulator of SQS comes with
 * the packages of npm.
 */
export interface Instance {
  readonly url: string;
  readonly version: string;
  readonly folder: ServiceFolder;
}

export interface Service {
  readonly title: string;
  /** Of Debian; none for what comes with npm. */
  readonly packages: readonly string[];
  readonly variable: string;
  /** True if nothing is missing. */
  isInstalled(): boolean;
  /** True if its packages are there. */
  hasPackages(): boolean;
  /** Fetches what no package of Debian has. */
  fetchRest?(progress: (line: string) => void): Promise<void>;
  create(outlives: boolean): Promise<Instance & { remove(): Promise<void> }>;
  answers(instance: Instance): Promise<boolean>;
  stop(instance: Instance): Promise<void>;
}

const stopBroker = ({ folder }: Instance): Promise<void> => stopBrokerAt(folder);
const answersAmqp = async ({ url }: Instance): Promise<boolean> => (await amqpVersion(url)) !== null;

export const services = {
  postgres: {
    title: "PostgreSQL",
    packages: ["postgresql"],
    variable: "FC_TEST_POSTGRES_URL",
    isInstalled: () => findPostgres() !== null,
    hasPackages: () => findPostgres() !== null,
    create: (outlives) => createPostgresServer({ settings: forgetfulSettings, outlives }),
    answers: ({ url }) => answersPostgres(url),
    stop: async ({ folder }) => stopPostgresAt(folder),
  },
  redis: {
    title: "Redis",
    packages: ["redis-server"],
    variable: "FC_TEST_REDIS_URL",
    isInstalled: () => findRedis() !== null,
    hasPackages: () => findRedis() !== null,
    create: (outlives) => createRedisServer({ outlives }),
    answers: ({ url }) => answersRedis(url),
    stop: ({ url, folder }) => stopRedisAt(url, folder),
  },
  nats: {
    title: "NATS",
    packages: ["nats-server"],
    variable: "FC_TEST_NATS_URL",
    isInstalled: () => findNats() !== null,
    hasPackages: () => findNats() !== null,
    create: (outlives) => createNatsServer({ outlives }),
    answers: async ({ url }) => (await natsVersion(url)) !== null,
    stop: stopBroker,
  },
  rabbitmq: {
    title: "RabbitMQ",
    packages: ["rabbitmq-server"],
    variable: "FC_TEST_RABBITMQ_URL",
    isInstalled: () => findRabbit() !== null,
    hasPackages: () => findRabbit() !== null,
    create: (outlives) => createRabbitServer({ outlives }),
    answers: answersAmqp,
    stop: stopBroker,
  },
  activemq: {
    title: "ActiveMQ with its transport for AMQP",
    packages: ["activemq", "default-jre-headless", "maven"],
    variable: "FC_TEST_ACTIVEMQ_URL",
    isInstalled: findActivemq,
    hasPackages: () => hasActivemqPackage() && Bun.which("mvn") !== null,
    fetchRest: async (progress) => {
      progress("fetching ActiveMQ's transport for AMQP (mvn)");
      await fetchActivemqTransport();
    },
    create: (outlives) => createActivemqServer({ outlives }),
    answers: answersAmqp,
    stop: stopBroker,
  },
  sqs: {
    title: "the emulator of SQS",
    packages: [],
    variable: "FC_TEST_SQS_URL",
    isInstalled: () => true,
    hasPackages: () => true,
    create: (outlives) => createSqsServer({ outlives }),
    answers: async ({ url }) => (await sqsVersion(url)) !== null,
    stop: stopBroker,
  },
  mariadb: {
    title: "MariaDB",
    packages: ["mariadb-server"],
    variable: "FC_TEST_MARIADB_URL",
    isInstalled: () => findMariadb() !== null,
    hasPackages: () => findMariadb() !== null,
    create: (outlives) => createMariadbServer({ outlives, settings: forgetfulMariadb }),
    answers: async ({ url }) => (await mariadbVersion(url)) !== null,
    stop: stopBroker,
  },
  mongodb: {
    title: "a server for MongoDB's protocol",
    packages: ["default-jdk-headless", "maven"],
    variable: "FC_TEST_MONGO_URL",
    isInstalled: findMongo,
    hasPackages: () => hasJavaCompiler() && Bun.which("mvn") !== null,
    fetchRest: async (progress) => {
      progress("fetching a server for MongoDB's protocol (mvn)");
      await fetchMongo();
    },
    create: (outlives) => createMongoServer({ outlives }),
    answers: async ({ url }) => (await mongoVersion(url)) !== null,
    stop: stopBroker,
  },
} as const satisfies Record<string, Service>;

export type ServiceName = keyof typeof services;

export const allNames = Object.keys(services) as readonly ServiceName[];
