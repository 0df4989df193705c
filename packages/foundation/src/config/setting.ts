import { hasMisplacedAt, shownFaultyAddresses, withoutPasswords } from "../address.ts";
import type { ConfigFacts } from "./facts.ts";

/** How one value is read from text. `describe` is what the reference page and an error say about what is allowed. */
export type SettingKind<T> = {
  readonly describe: string;
  parse(text: string): ParsedValue<T>;
  /** The value as it would be written in the environment. */
  print(value: T): string;
  /** What may be shown of a text that is no such value, which may hold a secret; undefined: nothing of it. */
  readonly showFaulty?: (text: string) => string | undefined;
  /** An empty text is a value of this kind, not the absence of one. */
  readonly acceptsEmpty?: boolean;
};

export type ParsedValue<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/**
 * Another name for a setting. `read` translates what stands there (the environment is given for names whose meaning
 * depends on a second one); undefined means that the alias does not apply.
 */
export type Alias =
  | string
  | {
      readonly name: string;
      read(text: string, env: Readonly<Record<string, string | undefined>>): string | undefined;
    };

/** What a default may depend on: other settings by their property name (already read), and facts of the machine. */
export type DefaultContext = {
  readonly get: (property: string) => unknown;
  readonly facts: ConfigFacts;
};

export type SettingSpec<T> = {
  /** Name without prefix: `ROUTER_POOL_CONCURRENCY`. */
  readonly key: string;
  /** One sentence for the reference page. */
  readonly description: string;
  /** Heading on the reference page; `General` if left out. */
  readonly section?: string;
  readonly default?: T | ((context: DefaultContext) => T);
  /** How a computed default is written on the reference page. */
  readonly defaultText?: string;
  readonly aliases?: readonly Alias[];
  /** Never printed. */
  readonly secret?: boolean;
  /** `--queue`, where the command line calls it otherwise than its property. */
  readonly flag?: string;
  /** Must be given: there is no default. */
  readonly required?: boolean;
};

export type Setting<T> = SettingSpec<T> & { readonly kind: SettingKind<NonNullable<T>> };

/** Without a default and not required, a setting may be absent. */
type Settled<T, S> = S extends { readonly required: true } | { readonly default: NonNullable<unknown> }
  ? T
  : T | undefined;

export type IntLimits = { readonly min?: number; readonly max?: number; readonly unit?: string };

const INTEGER = /^[+-]?\d+$/;

/** A whole number. A bad one is a fault, never silently the default. `unit` is for people; it is part of the key. */
export function int<const S extends SettingSpec<number> & IntLimits>(spec: S): Setting<Settled<number, S>> {
  const min = spec.min ?? 0;
  const max = spec.max ?? Number.MAX_SAFE_INTEGER;
  const unit = spec.unit === undefined ? "" : ` ${spec.unit}`;
  const describe =
    spec.max === undefined ? `whole number of at least ${min}${unit}` : `whole number from ${min} to ${max}${unit}`;
  return withKind<number, S>(spec, {
    describe,
    parse(text) {
      const value = INTEGER.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? { ok: true, value } : { ok: false, reason: `must be a ${describe}` };
    },
    print: String,
  });
}

const MAX_PORT = 65_535;

/** A TCP port; 0 lets the system choose a free one. */
export function port<const S extends SettingSpec<number>>(spec: S): Setting<Settled<number, S>> {
  const describe = `port from 0 to ${MAX_PORT} (0: any free one)`;
  return withKind<number, S>(spec, {
    describe,
    parse(text) {
      if (text.startsWith("tcp://")) return { ok: false, reason: SERVICE_LINK_REASON };
      const value = INTEGER.test(text) ? Number(text) : Number.NaN;
      return value >= 0 && value <= MAX_PORT ? { ok: true, value } : { ok: false, reason: `must be a ${describe}` };
    },
    print: String,
  });
}

/** Why an address stands where a port should: see the Kubernetes documentation on Services, "Environment variables". */
export const SERVICE_LINK_REASON =
  "looks like a Kubernetes service link, not like a setting; set `enableServiceLinks: false` in the pod";

const TRUE_WORDS: ReadonlySet<string> = new Set(["1", "true", "yes", "on"]);
const FALSE_WORDS: ReadonlySet<string> = new Set(["0", "false", "no", "off"]);

export function bool<const S extends SettingSpec<boolean>>(spec: S): Setting<Settled<boolean, S>> {
  return withKind<boolean, S>(spec, {
    describe: "1/true/yes/on or 0/false/no/off",
    parse(text) {
      const word = text.toLowerCase();
      if (TRUE_WORDS.has(word)) return { ok: true, value: true };
      if (FALSE_WORDS.has(word)) return { ok: true, value: false };
      return { ok: false, reason: "must be 1/true/yes/on or 0/false/no/off" };
    },
    print: String,
  });
}

/** One word of a list; case does not matter. */
export function choice<const V extends string, const S extends SettingSpec<V>>(
  values: readonly V[],
  spec: S,
): Setting<Settled<V, S>> {
  const describe = `one of ${values.join(", ")}`;
  return withKind<V, S>(spec, {
    describe,
    parse(text) {
      const value = values.find((candidate) => candidate.toLowerCase() === text.toLowerCase());
      return value === undefined ? { ok: false, reason: `must be ${describe}` } : { ok: true, value };
    },
    print: String,
  });
}

export type TextLimits = { readonly pattern?: RegExp; readonly patternText?: string; readonly maxChars?: number };

const DEFAULT_MAX_TEXT_CHARS = 4_096;

export function text<const S extends SettingSpec<string> & TextLimits>(spec: S): Setting<Settled<string, S>> {
  const maxChars = spec.maxChars ?? DEFAULT_MAX_TEXT_CHARS;
  return withKind<string, S>(spec, {
    describe: spec.patternText ?? "text",
    parse(value) {
      if (value.length > maxChars) return { ok: false, reason: `must have at most ${maxChars} characters` };
      if (spec.pattern !== undefined && !spec.pattern.test(value)) {
        return { ok: false, reason: `must be ${spec.patternText ?? `like ${spec.pattern.source}`}` };
      }
      return { ok: true, value };
    },
    print: String,
  });
}

export type UrlLimits = { readonly schemes: readonly string[] };

/** An address with one of the given schemes (without `:`). A password in it is never printed. */
export function url<const S extends SettingSpec<string> & UrlLimits>(spec: S): Setting<Settled<string, S>> {
  const describe = `address beginning with ${beginnings(spec)}`;
  return withKind<string, S>(spec, {
    describe,
    parse(value) {
      const fault = addressFault(value, spec, `an ${describe}`);
      return fault === undefined ? { ok: true, value } : { ok: false, reason: fault };
    },
    print: printedAddress,
    showFaulty: shownFaultyAddresses,
  });
}

export type UrlListLimits = UrlLimits & {
  /** What stands between two addresses besides white space; commas are characters of an address otherwise. */
  readonly commas?: boolean;
  /** A word that stands for an address: `nats` for `nats:`. */
  readonly words?: Readonly<Record<string, string>>;
};

/** Several addresses, separated by white space. A password in one is never printed. */
export function urls<const S extends SettingSpec<readonly string[]> & UrlListLimits>(
  spec: S,
): Setting<Settled<readonly string[], S>> {
  const words = spec.words ?? {};
  const wordText = Object.keys(words)
    .map((word) => `, or \`${word}\``)
    .join("");
  const describe =
    `addresses beginning with ${beginnings(spec)}${wordText}; ` +
    `several are separated by spaces${spec.commas === true ? " or commas" : ""}`;
  return withKind<readonly string[], S>(spec, {
    describe,
    parse(text) {
      const parts = text.split(spec.commas === true ? /[\s,]+/ : /\s+/).filter((part) => part !== "");
      const value = parts.map((part) => words[part.toLowerCase()] ?? part);
      for (const address of value) {
        const fault = addressFault(address, spec, describe);
        if (fault !== undefined) return { ok: false, reason: fault };
      }
      if (value.length === 0) return { ok: false, reason: `is empty; must be ${describe}` };
      if (new Set(value).size < value.length) return { ok: false, reason: "names an address twice" };
      return { ok: true, value };
    },
    print: (value) => value.map(printedAddress).join(" "),
    showFaulty: shownFaultyAddresses,
  });
}

function beginnings({ schemes }: UrlLimits): string {
  return schemes.map((scheme) => `${scheme}:`).join(", ");
}

/** Undefined: it is one. */
function addressFault(value: string, { schemes }: UrlLimits, wanted: string): string | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(value)?.[1]?.toLowerCase();
  if (scheme === undefined || !schemes.includes(scheme)) return `must be ${wanted}`;
  // `sqlite:` takes a path, which is no URL with an authority; everything with `//` must parse.
  // A `#` would end the address there, and what was meant to be a host is a part of a password; so is what stands
  // before an `@` in the path, as in `postgres://me:12/34@db/app`, where the host would be `me`.
  if (scheme === "sqlite") return undefined;
  const rest = value.slice(scheme.length + 1);
  // `db:` says all there is to say.
  if (rest === "") return undefined;
  if (!rest.startsWith("//")) return `is not a well-formed address: \`//\` is missing behind \`${scheme}:\``;
  if (URL.canParse(withOneHost(value)) && !value.includes("#") && !hasMisplacedAt(value)) return undefined;
  return `is not a well-formed address; ${escapingAdvice}`;
}

/** Some brokers are named by several hosts, `nats://a:4222,b:4222`, which is no URL but as good as one. */
function withOneHost(value: string): string {
  return value.replace(/^([^/]*\/\/[^/?,]*)(?:,[^/?,\s]+)+/, "$1");
}

/** A file's path is no address, whatever stands in it. */
function printedAddress(value: string): string {
  return /^sqlite:(?!\/\/)/i.test(value) ? value : withoutPasswords(value);
}

const escapingAdvice = "characters such as `/`, `@` and `#` in a password are written as %2F, %40 and %23";

export type ListLimits = { readonly maxItems?: number; readonly item?: (text: string) => string | undefined };

const DEFAULT_MAX_ITEMS = 1_000;

/** Comma-separated texts. `item` names what is wrong with one, or gives undefined. */
export function list<const S extends SettingSpec<readonly string[]> & ListLimits>(
  spec: S,
): Setting<Settled<readonly string[], S>> {
  const maxItems = spec.maxItems ?? DEFAULT_MAX_ITEMS;
  return withKind<readonly string[], S>(spec, {
    describe: "comma-separated list",
    parse(value) {
      const items = value
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== "");
      if (items.length > maxItems) return { ok: false, reason: `must have at most ${maxItems} items` };
      for (const item of items) {
        const reason = spec.item?.(item);
        if (reason !== undefined) return { ok: false, reason: `has an item that ${reason}` };
      }
      return { ok: true, value: items };
    },
    print: (value) => value.join(","),
    acceptsEmpty: true,
  });
}

function withKind<T, S>(spec: SettingSpec<T>, kind: SettingKind<T>): Setting<Settled<T, S>> {
  return { ...spec, kind } as unknown as Setting<Settled<T, S>>;
}
