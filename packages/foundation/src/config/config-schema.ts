import type { Setting } from "./setting.ts";

/** Settings by the property name they get in the configuration. */
export type Settings = Readonly<Record<string, Setting<unknown>>>;

/** The configuration: property name to type, inferred from the settings. */
export type ConfigOf<S> = { readonly [P in keyof S]: S[P] extends Setting<infer T> ? T : never };

/** What is wrong with the whole, and the property it is blamed on. */
export type RuleBreach<S> = { readonly property: keyof S & string; readonly reason: string };

/** A rule over several settings. Its word counts only when each setting it looks at is valid by itself. */
export type ConfigRule<S> = (config: ConfigOf<S>) => RuleBreach<S> | undefined;

/** The names of a configuration: all that reading and documenting it needs, whatever its precise type. */
export type KeySchema<S extends Settings = Settings> = {
  /** `FC_`: every environment variable that begins with it must be known. */
  readonly prefix: string;
  /** Between the parts of a key, and so between the tables of a file: `_` or `__`. */
  readonly separator: string;
  readonly settings: S;
};

/** All that is to be known about the configuration of a process. */
export type ConfigSchema<S extends Settings = Settings> = KeySchema<S> & {
  readonly rules?: readonly ConfigRule<S>[];
};

/** Gives a schema its precise type. */
export function defineConfig<const S extends Settings>(schema: ConfigSchema<S>): ConfigSchema<S> {
  return schema;
}

/** Every name a schema knows, aliases included: what the other processes are told to leave alone. */
export function knownKeysOf(schema: KeySchema): string[] {
  return Object.values(schema.settings).flatMap((setting) => [
    schema.prefix + setting.key,
    ...(setting.aliases ?? []).map((alias) => (typeof alias === "string" ? alias : alias.name)),
  ]);
}

/** The command-line flag of a property: `routerPort` is `--router-port`. */
export function flagOf(property: string): string {
  return `--${property.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
