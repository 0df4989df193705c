import { describe, expect, test } from "bun:test";
import { Ajv } from "ajv";
import { join } from "node:path";
import { root } from "../docs/markdown.ts";
import { parseYaml, readDeployFile } from "./deploy-file.ts";

/**
 * The Helm chart. Everywhere: that its schema is one and its templates have what makes them safe. Where `helm` is
 * installed: that it renders, and what comes out.
 */

type Values = Readonly<Record<string, unknown>>;

const chart = join(root, "deploy/helm/flowcatalyst");
const values = parseYaml<Values>(readDeployFile("helm/flowcatalyst/values.yaml"));
const schema = JSON.parse(readDeployFile("helm/flowcatalyst/values.schema.json")) as object;
const components = ["platform", "stream", "scheduler", "router"];
/** Rendered when it is enabled. */
const optional = ["outbox"];

function changed(base: unknown, path: string, value: unknown): unknown {
  const [key = "", ...rest] = path.split(".");
  const members = base as Values;
  return { ...members, [key]: rest.length === 0 ? value : changed(members[key] ?? {}, rest.join("."), value) };
}

function hasValue(path: string): boolean {
  let place: unknown = values;
  for (const name of path.split(".")) {
    if (typeof place !== "object" || place === null || !Object.hasOwn(place, name)) return false;
    place = (place as Values)[name];
  }
  return true;
}

describe("the schema of the values", () => {
  const isValid = new Ajv({ strict: false, allErrors: true }).compile(schema);
  const verdict = (path: string, value: unknown): boolean => isValid(changed(values, path, value));

  test("takes the values as they are", () => {
    expect([isValid(values), isValid.errors]).toEqual([true, null]);
  });

  test.each([
    ["config", { FC_RETENTION_DAYS: "30" }],
    ["secrets.databaseUrl", "postgres://user@host/database"],
    ["podDisruptionBudget.maxUnavailable", "25%"],
    ["image.digest", `sha256:${"0".repeat(64)}`],
    ["router.env", { FC_ROUTER_MAX_IN_FLIGHT: "1000" }],
    ["secrets.outboxDatabaseUrl", "mysql://user@host/shop"],
    ["secrets.outboxDatabaseUrl", "mongodb+srv://user@host/shop"],
    ["outbox.table", "shop.outbox_messages"],
    ["outbox.apiBaseUrl", "https://events.example"],
    ["outbox.env", { FC_OUTBOX_BATCH_SIZE: "100" }],
  ])("takes %s: %p", (path, value) => expect(verdict(path, value)).toBe(true));

  test.each([
    ["platform.replica", 3],
    ["stream.replicas", 0],
    ["config", { FC_RETENTION_DAYS: 30 }],
    ["config", { RETENTION_DAYS: "30" }],
    ["config", { FC_API_TOKENS: "in the clear" }],
    ["config", { FC_METRICS_PORT: "9091" }],
    ["secrets.databaseUrl", "sqlite:x"],
    ["secrets.redisUrl", "tcp://x"],
    ["secrets.outboxDatabaseUrl", "sqlite:shop.db"],
    ["outbox.mode", "both"],
    ["outbox.table", "a.b.c"],
    ["outbox.table", "t".repeat(41)],
    ["outbox.apiBaseUrl", "events.example"],
    ["outbox.env", { FC_OUTBOX_DB_URL: "in the clear" }],
    ["outbox.env", { FC_OUTBOX_MODE: "router" }],
    ["podDisruptionBudget.maxUnavailable", 0],
    ["image.digest", "latest"],
    ["nothing", {}],
  ])("refuses %s: %p", (path, value) => expect(verdict(path, value)).toBe(false));

  test("knows every value and describes no other", () => {
    const { properties } = schema as { properties: Values };
    const known = Object.keys(properties).filter((name) => name !== "global");
    expect(known.toSorted()).toEqual(Object.keys(values).toSorted());
  });
});

describe("the templates", () => {
  const template = (name: string): string => readDeployFile(`helm/flowcatalyst/templates/${name}`);

  test("each service is one, with its command", () => {
    for (const name of [...components, ...optional]) {
      expect(template(`${name}.yaml`)).toContain(`"component" "${name}"`);
      expect(values[name]).toMatchObject({ replicas: 2 });
    }
  });

  test("what an application's database is needed for is rendered when it is asked for", () => {
    for (const name of optional) {
      expect(values[name]).toMatchObject({ enabled: false });
      expect(template(`${name}.yaml`)).toMatch(new RegExp(`^{{- if \\.Values\\.${name}\\.enabled }}\n`));
    }
  });

  test("every value that a template names is one, and every block is closed", () => {
    const files = [...new Bun.Glob("*").scanSync({ cwd: join(chart, "templates") })];
    for (const file of files) {
      const text = template(file);
      const paths = Array.from(text.matchAll(/\.Values\.([\w.]*\w)/g), (match) => match[1] ?? "");
      expect([file, paths.filter((path) => !hasValue(path))]).toEqual([file, []]);
      const opened = text.match(/{{-? (if|range|with|define) /g)?.length ?? 0;
      expect([file, text.match(/{{-? end -?}}/g)?.length ?? 0]).toEqual([file, opened]);
    }
  });

  test("every secret that a template takes has a key and a value", () => {
    const { secretKeys, secrets } = values as { readonly secretKeys: Values; readonly secrets: Values };
    expect(Object.keys(secretKeys)).toEqual(Object.keys(secrets));
    for (const name of [...components, ...optional]) {
      const found = template(`${name}.yaml`).matchAll(/"FC_[A-Z_]+" "([a-z]+[A-Z]\w+)"/g);
      const taken = Array.from(found, (match) => match[1] ?? "");
      expect(taken.length).toBeGreaterThan(0);
      for (const key of taken) expect(secretKeys).toHaveProperty(key);
    }
  });

  test.each(["_service.tpl", "migrate.yaml"])("%s may do nothing but its work", (name) => {
    const text = template(name);
    for (const line of ["enableServiceLinks: false", "automountServiceAccountToken: false", "resources:"]) {
      expect(text).toContain(line);
    }
    expect(text).toContain('include "flowcatalyst.podSecurityContext"');
    expect(text).toContain('include "flowcatalyst.containerSecurityContext"');
  });

  test("a pod is not root, has no privileges and writes nowhere", () => {
    const text = template("_helpers.tpl");
    for (const line of [
      "runAsNonRoot: true",
      "type: RuntimeDefault",
      "allowPrivilegeEscalation: false",
      "readOnlyRootFilesystem: true",
      "drop: [ALL]",
    ]) {
      expect(text).toContain(line);
    }
  });

  test("a service is asked for its health, and may be moved one at a time", () => {
    const text = template("_service.tpl");
    for (const part of ["startupProbe", "livenessProbe", "readinessProbe", "/q/live", "/q/ready"]) {
      expect(text).toContain(part);
    }
    for (const part of ["PodDisruptionBudget", "topologySpreadConstraints", "HorizontalPodAutoscaler"]) {
      expect(text).toContain(part);
    }
  });

  test("a secret that is missing is named, with a word on how to make one", () => {
    const text = template("secret.yaml");
    for (const name of ["databaseUrl", "appKey", "apiTokens"]) expect(text).toContain(`required "secrets.${name} is`);
    expect(template("migrate.yaml")).toContain("helm.sh/hook: pre-install,pre-upgrade");
  });
});

const given = {
  "image.repository": "registry.example/flowcatalyst",
  "secrets.databaseUrl": "postgres://user:password@database/flowcatalyst",
  "secrets.appKey": "a2V5",
  "secrets.apiTokens": "first,second",
};

const outbox = { "outbox.enabled": "true", "secrets.outboxDatabaseUrl": "postgres://user:password@shop/shop" };

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: Values;
  readonly stringData?: Readonly<Record<string, string>>;
}

interface PodSpec {
  readonly enableServiceLinks: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly env: readonly {
        readonly name: string;
        readonly value?: string;
        readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } };
      }[];
    },
  ];
}

interface HelmRun {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** A Kubernetes of today: helm assumes a very old one when it cannot ask. */
async function helm(command: readonly string[], set: Readonly<Record<string, string>>): Promise<HelmRun> {
  const settings = Object.entries(set).flatMap(([path, value]) => ["--set", `${path}=${value.replaceAll(",", "\\,")}`]);
  const args = ["helm", ...command, chart, "--kube-version", "1.31.0", ...settings];
  const run = Bun.spawn(args, { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
  return { exitCode: await run.exited, out, err };
}

async function render(set: Readonly<Record<string, string>> = {}): Promise<readonly Rendered[]> {
  const { exitCode, out, err } = await helm(["template", "release"], { ...given, ...set });
  expect(`${exitCode} ${err}`).toBe("0 ");
  const documents = out.split(/^---$/m).map((document) => parseYaml<Rendered | null>(document));
  return documents.filter((document) => document !== null);
}

function find(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

function podOf(objects: readonly Rendered[], kind: string, name: string): PodSpec {
  return (find(objects, kind, name).spec as { template: { spec: PodSpec } }).template.spec;
}

function variablesOf(pod: PodSpec): Readonly<Record<string, string | undefined>> {
  const variables = pod.containers[0].env.map(({ name, value, valueFrom }) => [
    name,
    value ?? `${valueFrom?.secretKeyRef.name}/${valueFrom?.secretKeyRef.key}`,
  ]);
  expect(new Set(variables.map(([name]) => name)).size).toBe(variables.length);
  return Object.fromEntries(variables) as Readonly<Record<string, string | undefined>>;
}

describe.skipIf(Bun.which("helm") === null)("helm", () => {
  test("finds nothing wrong with the chart", async () => {
    const { exitCode, out, err } = await helm(["lint", "--strict"], given);
    expect(`${exitCode} ${err}`, out).toBe("0 ");
  });

  test("renders every service with its secrets, a disruption budget and time to stop", async () => {
    const objects = await render();
    for (const component of components) {
      const name = `release-flowcatalyst-${component}`;
      const pod = podOf(objects, "Deployment", name);
      expect(pod).toMatchObject({ enableServiceLinks: false, terminationGracePeriodSeconds: 45 });
      expect(pod.containers[0].args).toEqual([component]);
      expect(variablesOf(pod)).toMatchObject({
        FC_DATABASE_URL: "release-flowcatalyst/database-url",
        FC_HOST: "0.0.0.0",
      });
      expect(find(objects, "PodDisruptionBudget", name).spec).toMatchObject({ maxUnavailable: 1 });
      expect(find(objects, "Service", name).spec).toMatchObject({ type: "ClusterIP" });
    }
    expect(find(objects, "Secret", "release-flowcatalyst").stringData).toEqual({
      "database-url": given["secrets.databaseUrl"],
      "app-key": given["secrets.appKey"],
      "api-tokens": given["secrets.apiTokens"],
    });
    expect(find(objects, "Secret", "release-flowcatalyst-migrate").stringData).toEqual({
      "database-url": given["secrets.databaseUrl"],
    });
    const migrate = podOf(objects, "Job", "release-flowcatalyst-migrate");
    expect(variablesOf(migrate)["FC_DATABASE_URL"]).toBe("release-flowcatalyst-migrate/database-url");
  });

  test("gives stops the time that calls under way have", async () => {
    const objects = await render({ "router.drainTimeoutSeconds": "120" });
    const pod = podOf(objects, "Deployment", "release-flowcatalyst-router");
    expect(pod.terminationGracePeriodSeconds).toBe(135);
    expect(variablesOf(pod)["FC_ROUTER_DRAIN_TIMEOUT_SECS"]).toBe("120");
  });

  test("takes the secrets from an existing one", async () => {
    const objects = await render({ existingSecret: "mine", "secrets.databaseUrl": "" });
    expect(objects.filter(({ kind }) => kind === "Secret")).toEqual([]);
    for (const component of components) {
      const pod = podOf(objects, "Deployment", `release-flowcatalyst-${component}`);
      expect(variablesOf(pod)["FC_DATABASE_URL"]).toBe("mine/database-url");
    }
    const migrate = podOf(objects, "Job", "release-flowcatalyst-migrate");
    expect(variablesOf(migrate)["FC_DATABASE_URL"]).toBe("mine/database-url");
  });

  test("a router without a database has the platform, a token and the queue instead", async () => {
    const external = { "router.database": "false", "queue.external": "true", "secrets.queueUrl": "nats://queue" };
    const objects = await render(external);
    const variables = variablesOf(podOf(objects, "Deployment", "release-flowcatalyst-router"));
    expect(variables).toMatchObject({
      FC_API_BASE_URL: "http://release-flowcatalyst-platform:8080",
      FC_API_TOKEN: "release-flowcatalyst/api-token",
      FC_QUEUE_URL: "release-flowcatalyst/queue-url",
    });
    expect([variables["FC_DATABASE_URL"], variables["FC_APP_KEY"]]).toEqual([undefined, undefined]);
    expect(find(objects, "Secret", "release-flowcatalyst").stringData?.["api-token"]).toBe("first");
    const scheduler = variablesOf(podOf(objects, "Deployment", "release-flowcatalyst-scheduler"));
    expect(scheduler["FC_QUEUE_URL"]).toBe("release-flowcatalyst/queue-url");
  });

  test("has standby, autoscaling, network policies and a service monitor when asked", async () => {
    const objects = await render({
      "standby.enabled": "true",
      "secrets.redisUrl": "redis://redis",
      "router.autoscaling.enabled": "true",
      "networkPolicy.enabled": "true",
      "serviceMonitor.enabled": "true",
    });
    const variables = variablesOf(podOf(objects, "Deployment", "release-flowcatalyst-router"));
    expect(variables).toMatchObject({
      FC_STANDBY_ENABLED: "true",
      FC_STANDBY_REDIS_URL: "release-flowcatalyst/redis-url",
    });
    const router = find(objects, "Deployment", "release-flowcatalyst-router").spec;
    expect([
      router?.["replicas"],
      find(objects, "HorizontalPodAutoscaler", "release-flowcatalyst-router").kind,
    ]).toEqual([undefined, "HorizontalPodAutoscaler"]);
    expect(objects.filter(({ kind }) => kind === "NetworkPolicy")).toHaveLength(4);
    expect(objects.filter(({ kind }) => kind === "ServiceMonitor")).toHaveLength(1);
  });

  test("has no outbox processor unless asked, and then with the application's database and a token alone", async () => {
    const name = "release-flowcatalyst-outbox";
    expect((await render()).filter(({ metadata }) => metadata.name === name)).toEqual([]);
    const objects = await render({ ...outbox, "outbox.table": "shop.outbox_messages" });
    expect(find(objects, "Deployment", name).spec).toMatchObject({ replicas: 2 });
    expect(find(objects, "PodDisruptionBudget", name).spec).toMatchObject({ maxUnavailable: 1 });
    expect(find(objects, "Service", name).spec).toMatchObject({ type: "ClusterIP" });
    const pod = podOf(objects, "Deployment", name);
    expect(pod.containers[0].args).toEqual(["outbox"]);
    expect(variablesOf(pod)).toEqual({
      FC_OUTBOX_DB_URL: "release-flowcatalyst/outbox-database-url",
      FC_API_TOKEN: "release-flowcatalyst/outbox-api-token",
      FC_OUTBOX_MODE: "platform",
      FC_OUTBOX_TABLE: "shop.outbox_messages",
      FC_API_BASE_URL: "http://release-flowcatalyst-platform:8080",
      FC_HOST: "0.0.0.0",
      FC_LOG_FORMAT: "json",
      FC_LOG_LEVEL: "info",
    });
    expect(find(objects, "Secret", "release-flowcatalyst").stringData).toMatchObject({
      "outbox-database-url": outbox["secrets.outboxDatabaseUrl"],
      "outbox-api-token": "first",
    });
  });

  test("an outbox processor sends where it is told, with a token for that", async () => {
    const elsewhere = { ...outbox, "outbox.apiBaseUrl": "https://events.example" };
    const { exitCode, err } = await helm(["template", "release"], { ...given, ...elsewhere });
    expect([exitCode === 0, err.includes("secrets.outboxApiToken is required")]).toEqual([false, true]);
    const objects = await render({ ...elsewhere, "secrets.outboxApiToken": "theirs" });
    const variables = variablesOf(podOf(objects, "Deployment", "release-flowcatalyst-outbox"));
    expect(variables["FC_API_BASE_URL"]).toBe("https://events.example");
    expect(find(objects, "Secret", "release-flowcatalyst").stringData?.["outbox-api-token"]).toBe("theirs");
  });

  test.each(["platform", "router"])("an outbox processor is let in to the %s of its mode", async (mode) => {
    const peers = { "networkPolicy.enabled": "true", "networkPolicy.platformFrom[0].podSelector.matchLabels.a": "b" };
    const objects = await render({ ...outbox, "outbox.mode": mode, ...peers });
    expect(objects.filter(({ kind }) => kind === "NetworkPolicy")).toHaveLength(5);
    const letsIn = (name: string): boolean =>
      JSON.stringify(find(objects, "NetworkPolicy", `release-flowcatalyst-${name}`).spec?.["ingress"]).includes(
        '"app.kubernetes.io/component":"outbox"',
      );
    expect([letsIn("platform"), letsIn("router")]).toEqual([mode === "platform", mode === "router"]);
    const variables = variablesOf(podOf(objects, "Deployment", "release-flowcatalyst-outbox"));
    expect([variables["FC_API_BASE_URL"], variables["FC_OUTBOX_ROUTER_URL"]]).toEqual(
      mode === "platform"
        ? ["http://release-flowcatalyst-platform:8080", undefined]
        : [undefined, "http://release-flowcatalyst-router:8081"],
    );
  });

  test("says that the address of the application's database is missing", async () => {
    const { exitCode, err } = await helm(["template", "release"], { ...given, "outbox.enabled": "true" });
    expect([exitCode === 0, err.includes("secrets.outboxDatabaseUrl is required")]).toEqual([false, true]);
  });

  test.each([
    ["image.repository", "image.repository is required"],
    ["secrets.databaseUrl", "secrets.databaseUrl is required"],
    ["secrets.appKey", "secrets.appKey is required"],
    ["secrets.apiTokens", "secrets.apiTokens is required"],
  ])("says that %s is missing", async (path, message) => {
    const { exitCode, err } = await helm(["template", "release"], { ...given, [path]: "" });
    expect([exitCode === 0, err.includes(message)]).toEqual([false, true]);
  });

  test("refuses a router without a database on a queue in the database", async () => {
    const { exitCode, err } = await helm(["template", "release"], { ...given, "router.database": "false" });
    expect([exitCode === 0, err.includes("queue.external")]).toEqual([false, true]);
  });
});
