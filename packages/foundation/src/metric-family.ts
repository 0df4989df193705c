/** One number that prom-client reads when it is scraped. */
export class NumberChild {
  value = 0;

  inc(by = 1): void {
    this.value += by;
  }

  dec(by = 1): void {
    this.value -= by;
  }

  set(value: number): void {
    this.value = value;
  }
}

export type LabelValues<L extends string> = Readonly<Record<L, string>>;

type FamilyDeps<L extends string, Child> = {
  readonly labelNames: readonly L[];
  /** Different combinations before further ones share the one made of `otherValue`. */
  readonly limit: number;
  readonly otherValue: string;
  readonly create: (values: LabelValues<L>) => Child;
  readonly onRemove?: (values: LabelValues<L>) => void;
};

type Entry<L extends string, Child> = { readonly values: LabelValues<L>; readonly child: Child };

/** The children of one metric by their label values, bounded in number. */
export class MetricFamily<L extends string, Child> {
  readonly #deps: FamilyDeps<L, Child>;
  readonly #entries = new Map<string, Entry<L, Child>>();

  constructor(deps: FamilyDeps<L, Child>) {
    this.#deps = deps;
    // Without labels there is one child, and it shows up as 0 from the start.
    if (deps.labelNames.length === 0) this.#add("", {} as LabelValues<L>);
  }

  labels(values: LabelValues<L>): Child {
    const key = this.#keyOf(values);
    const known = this.#entries.get(key);
    if (known !== undefined) return known.child;
    if (this.#entries.size < this.#deps.limit) return this.#add(key, this.#pick(values));
    const other = this.#otherValues();
    const otherKey = this.#keyOf(other);
    return this.#entries.get(otherKey)?.child ?? this.#add(otherKey, other);
  }

  remove(values: LabelValues<L>): void {
    const key = this.#keyOf(values);
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#deps.onRemove?.(entry.values);
  }

  forEach(visit: (values: LabelValues<L>, child: Child) => void): void {
    for (const { values, child } of this.#entries.values()) visit(values, child);
  }

  /** What callers see: the child itself without labels, else this family. */
  surface(): Child | Pick<MetricFamily<L, Child>, "labels" | "remove"> {
    return this.#deps.labelNames.length === 0 ? this.labels({} as LabelValues<L>) : this;
  }

  #add(key: string, values: LabelValues<L>): Child {
    const child = this.#deps.create(values);
    this.#entries.set(key, { values, child });
    return child;
  }

  #keyOf(values: LabelValues<L>): string {
    const { labelNames } = this.#deps;
    if (labelNames.length === 1) return values[labelNames[0] as L];
    return JSON.stringify(labelNames.map((name) => values[name]));
  }

  #pick(values: LabelValues<L>): LabelValues<L> {
    return Object.fromEntries(this.#deps.labelNames.map((name) => [name, values[name]])) as LabelValues<L>;
  }

  #otherValues(): LabelValues<L> {
    return Object.fromEntries(this.#deps.labelNames.map((name) => [name, this.#deps.otherValue])) as LabelValues<L>;
  }
}
