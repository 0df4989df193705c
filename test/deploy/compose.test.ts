import { expect, test } from "bun:test";
import { parseYaml, readDeployFile, unknownSettingsIn } from "./deploy-file.ts";

/**
 * deploy/compose.yaml and deploy/Dockerfile, which no test can run: that what makes them safe is there, and that they
 * and the product agree.
 */

interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

interface ComposeService {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly restart?: string;
  readonly stop_grace_period?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly networks?: readonly string[];
  readonly ports?: readonly string[];
  readonly deploy?: { readonly replicas?: number; readonly resources?: { readonly limits?: object } };
}

const text = readDeployFile("compose.yaml");
const compose = parseYaml<Compose>(text);
const services = Object.entries(compose.services);
const own = ["platform", "stream", "scheduler", "router"];
/** Started with the profile of that name only. */
const optional = ["outbox"];
const secrets = ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "FC_API_TOKENS", "FC_APP_KEY"];

test("has the database, Redis, a migration, one of each service and two routers, others by their profiles", () => {
  expect(services.map(([name]) => name)).toEqual(["postgres", "redis", "migrate", ...own, ...optional]);
  for (const name of ["migrate", ...own, ...optional]) expect(compose.services[name]?.command).toEqual([name]);
  for (const [name, { profiles }] of services) expect(profiles).toEqual(optional.includes(name) ? [name] : undefined);
  expect(compose.services["router"]?.deploy?.replicas).toBe(2);
});

test.each(services)("%s may do nothing but its work", (name, service) => {
  expect(service.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(service.read_only).toBe(true);
  expect(service.cap_drop).toEqual(["ALL"]);
  expect(service.security_opt).toEqual(["no-new-privileges:true"]);
  expect(Object.keys(service.deploy?.resources?.limits ?? {}).toSorted()).toEqual(["cpus", "memory", "pids"]);
  expect(service.image).not.toMatch(/:latest$|^[^:]+$/);
  if (name === "migrate") {
    expect([service.healthcheck, service.restart]).toEqual([{ disable: true }, "no"]);
  } else {
    expect(service.healthcheck?.test?.[0]).toBe("CMD");
    expect(service.restart).toBe("unless-stopped");
  }
});

test.each(own)("%s starts after the migration, and has longer to stop than it may take", (name) => {
  const service = compose.services[name];
  expect(service?.depends_on?.["postgres"]?.condition).toBe("service_healthy");
  expect(service?.depends_on?.["migrate"]?.condition).toBe("service_completed_successfully");
  expect(service?.healthcheck?.test).toEqual(["CMD", "/usr/local/bin/flowcatalyst", "health"]);
  // 30 s for calls under way, and 10 s for what does not end by itself.
  expect(Number.parseInt(service?.stop_grace_period ?? "", 10)).toBeGreaterThan(40);
});

test("the outbox processor has the application's database and a token, and nothing of the other services", () => {
  const service = compose.services["outbox"];
  const environment = service?.environment ?? {};
  expect(environment).toMatchObject({
    FC_OUTBOX_DB_URL: "${FC_OUTBOX_DB_URL:-}",
    FC_API_TOKEN: "${FC_API_TOKEN:-}",
    FC_API_BASE_URL: "http://platform:8080",
    FC_OUTBOX_ROUTER_URL: "http://router:8081",
  });
  for (const name of ["FC_DATABASE_URL", "FC_APP_KEY", "FC_API_TOKENS"]) expect(environment).not.toHaveProperty(name);
  expect([service?.depends_on, service?.networks]).toEqual([{}, ["outside"]]);
  for (const name of ["platform", "router"]) expect(compose.services[name]?.networks).toContain("outside");
  expect(service?.healthcheck?.test).toEqual(["CMD", "/usr/local/bin/flowcatalyst", "health"]);
});

test("the database is on a network without a way out, and nothing is published but the API on loopback", () => {
  expect(compose.networks["data"]?.internal).toBe(true);
  for (const name of ["postgres", "redis", "migrate", "stream", "scheduler"]) {
    expect(compose.services[name]?.networks).toEqual(["data"]);
  }
  const published = services.flatMap(([name, { ports = [] }]) => ports.map((port) => `${name} ${port}`));
  expect(published).toEqual(["platform 127.0.0.1:${PUBLISHED_PORT:-8080}:8080"]);
});

test("every secret has to be given, with a word on how, and the example names each variable", () => {
  for (const name of secrets) {
    const [use, ...more] = text.match(new RegExp(`\\$\\{${name}:\\?[^}]+\\}`, "g")) ?? [];
    expect([name, use?.includes("openssl rand"), more]).toEqual([name, true, []]);
    expect(text).not.toMatch(new RegExp(`\\$\\{${name}:?-`));
  }
  const example = readDeployFile("compose.env.example");
  const variables = new Set(Array.from(text.matchAll(/\$\{([A-Z_]+)/g), (match) => match[1] ?? ""));
  // Two that nobody needs at first.
  for (const name of ["FLOWCATALYST_IMAGE", "FC_LOG_LEVEL"]) expect(variables.delete(name)).toBe(true);
  const named = Array.from(example.matchAll(/^([A-Z_]+)=/gm), (match) => match[1] ?? "");
  expect(named.toSorted()).toEqual([...variables].toSorted());
  for (const name of secrets) expect(example).toMatch(new RegExp(`^${name}=$`, "m"));
});

test("every setting that the deployment files name is one", () => {
  const files = new Bun.Glob("**/*").scanSync({ cwd: new URL("../../deploy", import.meta.url).pathname });
  for (const file of files) expect([file, unknownSettingsIn(readDeployFile(file))]).toEqual([file, []]);
});

const dockerfile = readDeployFile("Dockerfile");

test("the image is the executable on a base by its tag, not root, with a health check", () => {
  const stages = dockerfile.split(/^FROM /m);
  expect(stages).toHaveLength(3);
  const runtime = stages.at(-1) ?? "";
  expect(runtime).toMatch(/^USER 65532:65532$/m);
  expect(runtime).toMatch(/^ENTRYPOINT \["\/usr\/local\/bin\/flowcatalyst"\]$/m);
  expect(runtime).toContain('CMD ["/usr/local/bin/flowcatalyst", "health", "--live"]');
  expect(runtime).not.toMatch(/^RUN /m);
  for (const label of ["title", "version", "revision"]) expect(runtime).toContain(`org.opencontainers.image.${label}=`);
  for (const [, image = ""] of dockerfile.matchAll(/^ARG \w+_IMAGE=(.+)$/gm)) {
    expect(image).toMatch(/:(?!latest$)[\w.-]+(@sha256:[0-9a-f]{64})?$/);
  }
});

test("the image says which version it is", async () => {
  const { version } = (await Bun.file(new URL("../../packages/cli/package.json", import.meta.url)).json()) as {
    version: string;
  };
  expect(/^ARG VERSION=(.+)$/m.exec(dockerfile)?.[1]).toBe(version);
  expect(text).toContain(`flowcatalyst:${version}`);
  const chart = parseYaml<{ appVersion: string; version: string }>(readDeployFile("helm/flowcatalyst/Chart.yaml"));
  expect(chart.appVersion).toBe(version);
});

test("of the repository only what the executable is made from goes to the build", () => {
  const lines = readDeployFile("Dockerfile.dockerignore").split("\n");
  const first = lines.find((line) => line !== "" && !line.startsWith("#"));
  expect(first).toBe("*");
  const allowed = lines.filter((line) => line.startsWith("!"));
  expect(allowed).toEqual([
    "!package.json",
    "!package-lock.json",
    "!bunfig.toml",
    "!tsconfig.json",
    "!packages",
    "!scripts",
  ]);
});
