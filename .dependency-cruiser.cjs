// The import walls: who may import whom. ARCHITECTURE.md has the table, scripts/walls.test.ts proves that each bites.
//
// A wall names a folder and the only folders of ours its files may import. Whatever is not listed is refused, so a new
// folder under packages/server/src is closed until it is entered here (scripts/tidy.ts refuses unknown folders).
// Tests beside the code use real backends, so the walls of stages, platform and adapters do not bind them.

const { join } = require("node:path");

const TEST_FILES = "\\.(test|conformance|fixture)\\.ts$";
const OURS = "^(packages|test|scripts)/";
const server = (folders) => `^packages/server/src/(${folders})(/|\\.ts$)`;
const pkg = (names) => `^packages/(${names})/`;

const STAGES = "outbox|stream|scheduler|router|maintenance";
const FAMILIES = "stores|queues|leases|outbox-sources|remote|net";

/** A row of the table: files under `from` may import of ours nothing but `to`, which names their own folder too. */
function wall(name, comment, { from, to, testsToo = false }) {
  return {
    name,
    comment,
    severity: "error",
    from: { path: from, ...(testsToo ? {} : { pathNot: TEST_FILES }) },
    to: { path: OURS, pathNot: to },
  };
}

const walls = [
  wall("contracts-alone", "contracts imports nothing of ours", {
    from: pkg("contracts"),
    to: [pkg("contracts")],
    testsToo: true,
  }),
  wall("foundation-alone", "foundation imports nothing of ours", {
    from: pkg("foundation"),
    to: [pkg("foundation")],
    testsToo: true,
  }),
  wall("domain-pure", "domain imports contracts and itself", {
    from: server("domain"),
    to: [server("domain"), pkg("contracts")],
  }),
  wall("ports-narrow", "ports import domain and contracts", {
    from: server("ports"),
    to: [server("ports|domain"), pkg("contracts")],
  }),
  wall("stages-apart", "a stage imports domain, ports, contracts, foundation; no other stage, no adapter", {
    from: `^packages/server/src/(${STAGES})/`,
    to: ["^packages/server/src/$1/", server("domain|ports|http"), pkg("contracts|foundation")],
  }),
  wall("platform-apart", "platform imports contracts, domain, ports, foundation, http; no stage, no adapter", {
    from: server("platform"),
    to: [server("platform|domain|ports|http"), pkg("contracts|foundation")],
  }),
  wall("http-below-apis", "what all HTTP APIs share knows contracts and foundation, no domain", {
    from: server("http"),
    to: [server("http"), pkg("contracts|foundation")],
  }),
  {
    name: "http-for-apis",
    comment: "of the stages only the router has an API of its own",
    severity: "error",
    from: { path: "^packages/server/src/(outbox|stream|scheduler|maintenance)/", pathNot: TEST_FILES },
    to: { path: server("http") },
  },
  wall("receiver-apart", "the development receiver imports contracts, domain, foundation", {
    from: server("receiver"),
    to: [server("receiver|domain"), pkg("contracts|foundation")],
  }),
  wall("adapters-apart", "an adapter imports domain, ports, contracts, foundation and its own family's shared files", {
    from: `^packages/server/src/(${FAMILIES})/`,
    to: ["^packages/server/src/$1/", server("domain|ports|postgres"), pkg("contracts|foundation")],
  }),
  wall("postgres-below-adapters", "the way to PostgreSQL knows foundation, and nothing of what is kept there", {
    from: server("postgres"),
    to: [server("postgres"), pkg("foundation")],
  }),
  {
    name: "postgres-for-its-engines",
    comment: "only the adapters of PostgreSQL know the way to it",
    severity: "error",
    from: {
      path: "^packages/server/src/(stores|queues|leases|outbox-sources|remote|net)/(?!postgres/)",
      pathNot: TEST_FILES,
    },
    to: { path: server("postgres") },
  },
  {
    name: "engines-apart",
    comment: "an engine's adapter does not import another engine's",
    severity: "error",
    from: { path: "^packages/server/src/(stores|queues|leases|outbox-sources)/([^/.]+)/", pathNot: TEST_FILES },
    to: { path: "^packages/server/src/$1/[^/]+/", pathNot: "^packages/server/src/$1/$2/" },
  },
  {
    name: "family-files-below-engines",
    comment: "what the engines of a family share knows none of them",
    severity: "error",
    from: { path: "^packages/server/src/(stores|queues|leases|outbox-sources)/[^/]+\\.ts$", pathNot: TEST_FILES },
    to: { path: "^packages/server/src/$1/[^/]+/" },
  },
  wall("main-within-server", "main and the server's index import server, contracts, foundation", {
    from: "^packages/server/src/(main/|[^/]+\\.ts$)",
    to: ["^packages/server/src/", pkg("contracts|foundation")],
  }),
  {
    name: "adapters-lazily",
    comment: "main loads adapters with `await import()`, so that a process loads only the drivers it uses",
    severity: "error",
    from: { path: server("main"), pathNot: [TEST_FILES, server("main/(postgres|sqlite)")] },
    to: {
      path: server("stores|queues|leases|outbox-sources|remote|postgres|main/(postgres|sqlite)"),
      dynamic: false,
      dependencyTypesNot: ["type-only"],
    },
  },
  {
    name: "main-for-cli-only",
    comment: "nothing imports server/main but the cli (through the server's index)",
    severity: "error",
    from: { pathNot: [pkg("cli"), server("main"), "^packages/server/src/index\\.ts$", TEST_FILES, "^(test|scripts)/"] },
    to: { path: server("main") },
  },
  wall("sdk-alone", "sdk imports nothing of ours: its types of the wire are generated", {
    from: pkg("sdk"),
    to: [pkg("sdk")],
  }),
  {
    name: "sdk-without-runtime",
    comment: "sdk runs on Bun, Node, Deno and in browsers: nothing but types may be imported, no library, no builtin",
    severity: "error",
    from: { path: pkg("sdk"), pathNot: TEST_FILES },
    to: { pathNot: pkg("sdk"), dependencyTypesNot: ["type-only"] },
  },
  wall("cli-above", "cli imports sdk, foundation, contracts and the server's entry points", {
    from: pkg("cli"),
    to: [pkg("cli|sdk|foundation|contracts"), "^packages/server/src/(index\\.ts$|main/)"],
  }),
  {
    name: "cli-starts-server-lazily",
    comment: "a command that only talks to a server must not load one",
    severity: "error",
    from: { path: pkg("cli"), pathNot: TEST_FILES },
    to: { path: pkg("server"), dynamic: false, dependencyTypesNot: ["type-only"] },
  },
  wall("console-outside", "console imports sdk and contracts", {
    from: pkg("console"),
    to: [pkg("console|sdk|contracts")],
  }),
  wall("oaas-beside", "oaas imports foundation, contracts, sdk", {
    from: pkg("oaas"),
    to: [pkg("oaas|foundation|contracts|sdk")],
  }),
];

const hygiene = [
  {
    name: "packages-by-their-index",
    comment: "another package is imported through its index.ts, the SDK through one of its entries",
    severity: "error",
    from: { path: "^packages/([^/]+)/", pathNot: TEST_FILES },
    to: {
      path: "^packages/",
      pathNot: [
        "^packages/$1/",
        "^packages/[^/]+/src/index\\.ts$",
        "^packages/server/src/main/",
        "^packages/sdk/src/((outbox|webhooks|testing)/index|hono|express|fastify)\\.ts$",
      ],
    },
  },
  {
    name: "nothing-imports-tests",
    comment: "test/ and scripts/ may import anything; no package imports them",
    severity: "error",
    from: { path: "^packages/" },
    to: { path: "^(test|scripts)/" },
  },
  {
    name: "tests-stay-outside",
    comment: "the product does not import its tests, suites and fixtures",
    severity: "error",
    from: { pathNot: [TEST_FILES, "^(test|scripts)/"] },
    to: { path: TEST_FILES },
  },
  {
    name: "no-cycles",
    comment: "modules form a tree of dependencies (types may refer to each other)",
    severity: "error",
    from: {},
    to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
  },
  {
    name: "resolvable",
    comment: "an import that does not resolve cannot be judged",
    severity: "error",
    from: {},
    to: { couldNotResolve: true, pathNot: "^(bun(:|$)|node:sqlite$)" },
  },
  {
    name: "declared-libraries",
    comment: "a library is declared in the package.json of the package that uses it",
    severity: "error",
    from: { path: "^packages/", pathNot: TEST_FILES },
    to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"], pathNot: "^packages/" },
  },
];

/** A library is imported only in the places that are there to use it. Left: the library. Right: where it may appear. */
const LIBRARIES = {
  "bun:sqlite": [server("stores/sqlite|queues/sqlite|outbox-sources/sqlite|leases")],
  ioredis: [server("leases/redis")],
  "@nats-io": [server("queues/nats")],
  "(@aws-sdk|@smithy)": [server("queues/sqs")],
  rhea: [server("queues/amqp")],
  mysql2: [server("outbox-sources/mysql")],
  "(mongodb|bson)": [server("outbox-sources/mongodb")],
  "(@hono/[^/]+|hono|swagger-ui-dist)": [server("http|platform|router|receiver|main")],
  "(ajv|ajv-formats)": [server("platform|domain")],
  "@marcbachmann/cel-js": [server("domain")],
  "ipaddr\\.js": [server("domain|net")],
  "(pino|smol-toml|yaml)": [pkg("foundation")],
  "prom-client": [pkg("foundation")],
  "(commander|@clack/[^/]+)": [pkg("cli")],
};

const libraries = Object.entries(LIBRARIES).map(([library, places]) => ({
  name: `library-${library.replace(/[^a-z0-9-]+/gi, "-").replace(/^-|-$/g, "")}`,
  comment: `${library} is used in its own places only`,
  severity: "error",
  from: { path: "^packages/", pathNot: [...places, TEST_FILES] },
  to: { path: `(^|node_modules/)${library}(/|$)` },
}));

const DOMAIN_BUILTINS = {
  name: "domain-without-io",
  comment: "domain and ports do no I/O: of the runtime they may use hashing only",
  severity: "error",
  from: { path: server("domain|ports"), pathNot: TEST_FILES },
  to: { dependencyTypes: ["core"], pathNot: "^(node:)?(crypto|buffer)$" },
};

module.exports = {
  forbidden: [...walls, ...hygiene, ...libraries, DOMAIN_BUILTINS],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(dist|data|docs)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: join(__dirname, "tsconfig.json") },
    moduleSystems: ["es6"],
    detectJSDocImports: false,
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["bun", "import", "node", "default", "types"],
      extensions: [".ts", ".mjs", ".js", ".json"],
    },
  },
};
