import type { FilterOptions } from "../ports/search.ts";
import { searchLimits } from "./search-results.ts";

/** What events can be filtered by, from those that are there: each list is narrowed by the choices before it. */
export class OptionCollector {
  readonly #chosen: Readonly<Record<string, string | undefined>>;
  readonly #clients = new Set<string>();
  readonly #applications = new Set<string>();
  readonly #subdomains = new Set<string>();
  readonly #aggregates = new Set<string>();
  readonly #types = new Set<string>();

  constructor(chosen: Readonly<Record<string, string | undefined>>) {
    this.#chosen = chosen;
  }

  add(clientId: string | null, type: string): void {
    const chosen = this.#chosen;
    if (clientId !== null) remember(this.#clients, clientId);
    if (!agrees(chosen["clientId"] ?? chosen["client"], clientId)) return;
    const [application, subdomain, aggregate] = type.split(type.includes(":") ? ":" : ".");
    remember(this.#applications, application);
    if (!agrees(chosen["application"], application)) return;
    remember(this.#subdomains, subdomain);
    if (!agrees(chosen["subdomain"], subdomain)) return;
    remember(this.#aggregates, aggregate);
    if (!agrees(chosen["aggregate"], aggregate)) return;
    remember(this.#types, type);
  }

  options(): FilterOptions {
    return {
      clients: [...this.#clients].sort(),
      applications: [...this.#applications].sort(),
      subdomains: [...this.#subdomains].sort(),
      aggregates: [...this.#aggregates].sort(),
      types: [...this.#types].sort(),
    };
  }
}

function remember(values: Set<string>, value: string | undefined): void {
  if (value !== undefined && values.size < searchLimits.filterOptionValues) values.add(value);
}

function agrees(chosen: string | undefined, value: string | null | undefined): boolean {
  return chosen === undefined || chosen === value;
}
