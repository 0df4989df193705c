import { readFileSync } from "node:fs";
import { join } from "node:path";
import { namedSchemas } from "../../packages/server/src/main/process-config.ts";
import { knownKeysOf } from "@flowcatalyst/foundation";
import { root } from "../docs/markdown.ts";

/** What the tests of the deployment files share: reading them, and what they may name. */

export function readDeployFile(path: string): string {
  return readFileSync(join(root, "deploy", path), "utf8");
}

export function parseYaml<Content>(text: string): Content {
  return Bun.YAML.parse(text) as Content;
}

/** Variables of settings that stand in a text and that no process knows. */
export function unknownSettingsIn(text: string): readonly string[] {
  const known = new Set(namedSchemas().flatMap(({ schema }) => knownKeysOf(schema)));
  const named = new Set(Array.from(text.matchAll(/\bFC_[A-Z0-9_]*[A-Z0-9]\b/g), ([name]) => name));
  return [...named].filter((name) => !known.has(name));
}
