import { renderConfigReference } from "@flowcatalyst/foundation";
import { namedSchemas } from "../../packages/server/src/main/process-config.ts";
import { generatedFrom, type Generator } from "./generator.ts";

const INTRODUCTION = `# Configuration

Each process reads one schema. Sources, later ones win: defaults, the file named by \`FC_CONFIG_PATH\` (TOML or YAML
by its ending), the environment, command-line flags. In a file, \`pool_concurrency = 10\` under \`[router]\` is what
\`FC_ROUTER_POOL_CONCURRENCY=10\` is in the environment; a value \`\${NAME}\` in a file is taken from the environment.

An \`FC_*\` key that no process knows is refused with the nearest known name, and so is a bad value; all faults are
reported together. \`flowcatalyst config check\` prints every setting and where it came from, with secrets masked.
Two names of one setting with two values are an error.
`;

/** docs/reference/configuration.md: every setting of every process. */
export const configurationPage: Generator = {
  path: "docs/reference/configuration.md",
  produce: () => {
    const source = generatedFrom("packages/server/src/main/settings.ts");
    return Promise.resolve(`${source}\n${INTRODUCTION}\n${renderConfigReference(namedSchemas())}`);
  },
};
