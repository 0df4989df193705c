import { MASK, withoutPasswords } from "../address.ts";
import { readConfigFile } from "./config-file.ts";
import type { ConfigFault } from "./config-fault.ts";
import {
  flagOf,
  knownKeysOf,
  type ConfigOf,
  type ConfigSchema,
  type KeySchema,
  type Settings,
} from "./config-schema.ts";
import type { ConfigFacts } from "./facts.ts";
import { nearestName } from "./nearest-name.ts";
import { SERVICE_LINK_REASON, type Alias, type DefaultContext, type Setting } from "./setting.ts";

/**
 * Reads the configuration of a process.
 *
 * One schema says everything: names, kinds, limits, defaults, aliases. Sources, later ones win: defaults, files in the
 * order given, environment, flags. Reading never stops at the first fault: the result holds either the whole
 * configuration or every fault, each with the name and the place to look at; and in both cases one entry per
 * setting, so that `config check` can show where each value comes from.
 *
 * Refused: a key with our prefix that nobody knows (with the nearest known name), a value that its setting does not
 * allow, two names for one setting with different values in one source, a file that cannot be read, a `${NAME}` in a
 * file that the environment does not have, a rule of the schema that is broken. A key that another process of ours
 * knows (`knownKeys`) is left alone, so that one environment can serve all processes.
 *
 * An empty text means "not set", but for lists, where it is the empty list.
 */
export type LoadOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly facts: ConfigFacts;
  /** Values by property name, as a command-line parser gives them. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
  /** Paths of TOML or YAML files, later ones win. */
  readonly files?: readonly string[];
  /** Full names that other processes know. */
  readonly knownKeys?: readonly string[];
};

/** One setting as it was found. `value` is printable: secrets are masked. */
export type ConfigEntry = {
  readonly property: string;
  readonly key: string;
  readonly value: string;
  readonly source: string;
  readonly section: string;
};

export type LoadResult<C> =
  | { readonly kind: "loaded"; readonly config: C; readonly entries: readonly ConfigEntry[] }
  | { readonly kind: "faulty"; readonly faults: readonly ConfigFault[]; readonly entries: readonly ConfigEntry[] };

/** Every setting with its printable value and where it comes from, faults or not: what `config check` prints. */
export function describeConfig(result: LoadResult<unknown>): readonly ConfigEntry[] {
  return result.entries;
}

export const DEFAULT_SECTION = "General";

export async function loadConfig<S extends Settings>(
  schema: ConfigSchema<S>,
  options: LoadOptions,
): Promise<LoadResult<ConfigOf<S>>> {
  const files: Layer[] = [];
  const faults: ConfigFault[] = [];
  for (const path of options.files ?? []) {
    const read = await readConfigFile(path, { prefix: schema.prefix, separator: schema.separator, env: options.env });
    faults.push(...read.faults);
    files.push({ kind: "file", label: path, values: read.values });
  }
  const env = new Map(
    Object.entries(options.env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
  const layers: Layer[] = [...files, { kind: "environment", label: "environment", values: env }];
  faults.push(...unknownKeys(schema, layers, options), ...unknownFlags(schema, options));
  const reader = new Reader(schema, layers, options);
  for (const property of Object.keys(schema.settings)) reader.read(property);
  faults.push(...reader.faults);
  const config = reader.values() as ConfigOf<S>;
  faults.push(...brokenRules(schema, config, reader));
  const entries = reader.entries();
  return faults.length === 0 ? { kind: "loaded", config, entries } : { kind: "faulty", faults, entries };
}

type Layer = {
  readonly kind: "file" | "environment";
  readonly label: string;
  readonly values: ReadonlyMap<string, string>;
};

/** A text and where it stands. `name` is the name it was given under. */
type Found = { readonly text: string; readonly source: string; readonly name: string };

type Read = { readonly value: unknown; readonly source: string };

class Reader {
  readonly faults: ConfigFault[] = [];
  /** Properties whose value is only the default, because what was given is wrong. */
  readonly faulty = new Set<string>();
  readonly #schema: KeySchema;
  readonly #layers: readonly Layer[];
  readonly #options: LoadOptions;
  readonly #read = new Map<string, Read>();

  constructor(schema: KeySchema, layers: readonly Layer[], options: LoadOptions) {
    this.#schema = schema;
    this.#layers = layers;
    this.#options = options;
  }

  /** The value of a property. Defaults that ask for other settings come here too, whatever the order. */
  read(property: string): Read {
    const known = this.#read.get(property);
    if (known !== undefined) return known;
    const setting = this.#schema.settings[property];
    if (setting === undefined) throw new Error(`The configuration has no property ${property}.`);
    // Marked first: a default that asks for itself sees undefined instead of asking for ever.
    this.#read.set(property, { value: undefined, source: "default" });
    const faultsBefore = this.faults.length;
    const read = this.#readSetting(property, setting);
    if (this.faults.length > faultsBefore) this.faulty.add(property);
    this.#read.set(property, read);
    return read;
  }

  values(): Record<string, unknown> {
    return Object.fromEntries([...this.#read].map(([property, read]) => [property, read.value]));
  }

  entries(): ConfigEntry[] {
    return Object.entries(this.#schema.settings).map(([property, setting]) => {
      const { value, source } = this.read(property);
      const key = this.#schema.prefix + setting.key;
      return { property, key, value: printable(setting, value), source, section: setting.section ?? DEFAULT_SECTION };
    });
  }

  #readSetting(property: string, setting: Setting<unknown>): Read {
    const found = this.#find(property, setting);
    if (found === undefined) return this.#default(setting);
    const parsed = setting.kind.parse(found.text);
    if (parsed.ok) return { value: parsed.value, source: found.source };
    const reason = parsed.reason + shownFaulty(setting, found.text);
    this.faults.push({ key: found.name, source: found.source, reason });
    return { ...this.#defaultValue(setting), source: found.source };
  }

  #default(setting: Setting<unknown>): Read {
    const key = this.#schema.prefix + setting.key;
    if (setting.required) this.faults.push({ key, source: "not set", reason: "is required" });
    return this.#defaultValue(setting);
  }

  #defaultValue(setting: Setting<unknown>): Read {
    const given = setting.default;
    const get = (property: string): unknown => this.read(property).value;
    const value: unknown = isComputed(given) ? given({ get, facts: this.#options.facts }) : given;
    return { value, source: "default" };
  }

  #find(property: string, setting: Setting<unknown>): Found | undefined {
    const flag = this.#options.flags?.[property];
    const name = setting.flag ?? flagOf(property);
    if (flag !== undefined) return { text: flag, source: `flag ${name}`, name };
    for (const layer of this.#layers.toReversed()) {
      const found = this.#findIn(layer, setting);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #findIn(layer: Layer, setting: Setting<unknown>): Found | undefined {
    const key = this.#schema.prefix + setting.key;
    const candidates: readonly Alias[] = [key, ...(setting.aliases ?? [])];
    const all = candidates.flatMap((name): Found[] => {
      const found = this.#readName(layer, name);
      return found === undefined || !isSet(found.text, setting) ? [] : [found];
    });
    const [first, ...others] = all;
    const other = others.find((candidate) => candidate.text !== first?.text);
    if (first !== undefined && other !== undefined) {
      const names = `${first.name} and ${other.name}`;
      const reason = `${names} are two names for one setting and have different values; keep one`;
      this.faults.push({ key, source: layer.label, reason });
    }
    return first;
  }

  #readName(layer: Layer, alias: Alias): Found | undefined {
    const name = typeof alias === "string" ? alias : alias.name;
    const raw = layer.values.get(name)?.trim();
    if (raw === undefined) return undefined;
    const text = typeof alias === "string" ? raw : alias.read(raw, this.#options.env);
    if (text === undefined) return undefined;
    return { text, name, source: layer.kind === "file" ? layer.label : `environment ${name}` };
  }
}

type ComputedDefault = (context: DefaultContext) => unknown;

function isComputed(given: unknown): given is ComputedDefault {
  return typeof given === "function";
}

function isSet(text: string, setting: Setting<unknown>): boolean {
  return text !== "" || setting.kind.acceptsEmpty === true;
}

/** What was given, for whoever looks for it; nothing where it may be a secret. */
function shownFaulty({ secret, kind }: Setting<unknown>, text: string): string {
  const shown = secret === true ? undefined : (kind.showFaulty ?? withoutPasswords)(text);
  return shown === undefined ? "" : ` (it is ${JSON.stringify(shorten(shown))})`;
}

const MAX_SHOWN_CHARS = 80;

function shorten(text: string): string {
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text;
}

function printable(setting: Setting<unknown>, value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = setting.kind.print(value);
  // Where nothing is set there is nothing to hide, and a mask would say that there is.
  return setting.secret && text !== "" ? MASK : text;
}

function unknownKeys(schema: KeySchema, layers: readonly Layer[], options: LoadOptions): ConfigFault[] {
  const names = [...knownKeysOf(schema), ...(options.knownKeys ?? [])];
  const known = new Set(names);
  const testPrefix = `${schema.prefix}TEST_`;
  return layers.flatMap((layer) =>
    [...layer.values]
      .filter(([key]) => key.startsWith(schema.prefix) && !key.startsWith(testPrefix) && !known.has(key))
      .map(([key, value]) => ({ key, source: layer.label, reason: unknownReason(key, value, names) })),
  );
}

/** The variables that Kubernetes makes for a Service called `fc-…`. */
const SERVICE_LINK_KEY = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$/;

function unknownReason(key: string, value: string, names: readonly string[]): string {
  if (value.startsWith("tcp://") || SERVICE_LINK_KEY.test(key)) return SERVICE_LINK_REASON;
  const nearest = nearestName(key, names);
  return nearest === undefined ? "is not a known setting" : `is not a known setting; did you mean ${nearest}?`;
}

function unknownFlags(schema: KeySchema, options: LoadOptions): ConfigFault[] {
  return Object.keys(options.flags ?? {})
    .filter((property) => !Object.hasOwn(schema.settings, property))
    .map((property) => ({ key: flagOf(property), source: "command line", reason: "is not a known flag" }));
}

/** Rules are asked even beside faults, so that one start tells all; a breach that rests on a faulty value is none. */
function brokenRules<S extends Settings>(schema: ConfigSchema<S>, config: ConfigOf<S>, reader: Reader): ConfigFault[] {
  return (schema.rules ?? []).flatMap((rule) => {
    const looked = new Set<string>();
    const breach = rule(noting(config, looked));
    if (breach === undefined || [...looked].some((property) => reader.faulty.has(property))) return [];
    const key = schema.prefix + (schema.settings[breach.property]?.key ?? breach.property);
    return [{ key, source: reader.read(breach.property).source, reason: breach.reason }];
  });
}

/** The configuration as it is, with a note of each property that is looked at. */
function noting<C extends object>(config: C, looked: Set<string>): C {
  return new Proxy(config, {
    get: (target, property): unknown => {
      looked.add(String(property));
      return Reflect.get(target, property);
    },
  });
}
