import { beforeEach, describe } from "bun:test";

/**
 * Tests that need a server: `describeWithPostgres(name, body)`, `describeWithNats(name, body)` and so on, in place of
 * `describe`.
 *
 * Their places come from FC_TEST_POSTGRES_URL, FC_TEST_NATS_URL and so on (`scripts/services` starts the servers and
 * says where). Without them each of the tests is skipped, by its name; where FC_TEST_REQUIRE names the service, each
 * fails.
 */
const variables = {
  postgres: "FC_TEST_POSTGRES_URL",
  redis: "FC_TEST_REDIS_URL",
  nats: "FC_TEST_NATS_URL",
  rabbitmq: "FC_TEST_RABBITMQ_URL",
  activemq: "FC_TEST_ACTIVEMQ_URL",
  sqs: "FC_TEST_SQS_URL",
  mariadb: "FC_TEST_MARIADB_URL",
  mongodb: "FC_TEST_MONGO_URL",
} as const;

export type NeededService = keyof typeof variables;

export const testPostgresUrl = urlOf("postgres");
export const testRedisUrl = urlOf("redis");
export const testNatsUrl = urlOf("nats");
export const testRabbitUrl = urlOf("rabbitmq");
export const testActivemqUrl = urlOf("activemq");
export const testSqsUrl = urlOf("sqs");
export const testMariadbUrl = urlOf("mariadb");
export const testMongoUrl = urlOf("mongodb");

/** `describe` for tests that need all of these services. */
export function describeWith(services: readonly NeededService[], name: string, body: () => void): void {
  const required = (process.env["FC_TEST_REQUIRE"] ?? "").split(",").map((service) => service.trim());
  const missing = services.filter((service) => urlOf(service) === undefined);
  if (missing.length === 0) describe(name, body);
  else if (missing.some((service) => required.includes(service))) {
    describe(name, () => {
      beforeEach(() => {
        const unset = missing.map((service) => variables[service]).join(", ");
        throw new Error(`FC_TEST_REQUIRE wants this test, and ${unset} is not set: see scripts/services --help`);
      });
      body();
    });
  } else describe.skip(`${name} (needs ${missing.join(", ")})`, body);
}

export function describeWithPostgres(name: string, body: () => void): void {
  describeWith(["postgres"], name, body);
}

export function describeWithRedis(name: string, body: () => void): void {
  describeWith(["redis"], name, body);
}

export function describeWithNats(name: string, body: () => void): void {
  describeWith(["nats"], name, body);
}

export function describeWithRabbit(name: string, body: () => void): void {
  describeWith(["rabbitmq"], name, body);
}

export function describeWithActivemq(name: string, body: () => void): void {
  describeWith(["activemq"], name, body);
}

export function describeWithSqs(name: string, body: () => void): void {
  describeWith(["sqs"], name, body);
}

function urlOf(service: NeededService): string | undefined {
  const url = process.env[variables[service]];
  return url === "" ? undefined : url;
}
