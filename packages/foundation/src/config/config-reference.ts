import type { KeySchema } from "./config-schema.ts";
import { MASK } from "../address.ts";
import { DEFAULT_SECTION } from "./load-config.ts";
import type { Setting } from "./setting.ts";

/** A process and what it reads. */
export type NamedSchema = { readonly process: string; readonly schema: KeySchema };

type Row = { readonly key: string; readonly setting: Setting<unknown>; readonly processes: string[] };

/** The settings of all processes as Markdown: one table per section, each setting once. */
export function renderConfigReference(schemas: readonly NamedSchema[]): string {
  const rows = new Map<string, Row>();
  for (const { process, schema } of schemas) {
    for (const setting of Object.values(schema.settings)) {
      const key = schema.prefix + setting.key;
      const row = rows.get(key);
      if (row === undefined) rows.set(key, { key, setting, processes: [process] });
      else row.processes.push(process);
    }
  }
  const sections = Map.groupBy(rows.values(), (row) => row.setting.section ?? DEFAULT_SECTION);
  return [...sections].map(([section, members]) => renderSection(section, members)).join("\n");
}

function renderSection(section: string, rows: readonly Row[]): string {
  const lines = rows.map(({ key, setting, processes }) => {
    const cells = [
      `\`${key}\``,
      defaultText(setting),
      setting.kind.describe,
      aliasNames(setting),
      processes.join(", "),
      setting.description,
    ];
    return `| ${cells.map(cell).join(" | ")} |`;
  });
  const head = ["| Setting | Default | Allowed | Also known as | Read by | Meaning |", "|---|---|---|---|---|---|"];
  return [`## ${section}`, "", ...head, ...lines, ""].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

function defaultText(setting: Setting<unknown>): string {
  if (setting.defaultText !== undefined) return setting.defaultText;
  if (setting.required) return "required";
  if (setting.default === undefined || setting.default === null || typeof setting.default === "function") return "none";
  if (setting.secret) return MASK;
  const printed = setting.kind.print(setting.default);
  return printed === "" ? "empty" : `\`${printed}\``;
}

function aliasNames(setting: Setting<unknown>): string {
  return (setting.aliases ?? []).map((alias) => `\`${typeof alias === "string" ? alias : alias.name}\``).join(", ");
}
