import type { Scope } from "../../domain/scope.ts";
import type { SqlValue } from "../../postgres/statement.ts";
import { storable } from "./entity-table.ts";

/** Conditions of one search, joined by AND, and the values of its statement. */
export class Conditions {
  readonly #texts: string[] = [];
  readonly values: SqlValue[] = [];

  /** Gives a value its place in the statement. */
  value(value: SqlValue): string {
    this.values.push(typeof value === "string" ? storable(value) : value);
    return `$${this.values.length}`;
  }

  add(text: string): void {
    this.#texts.push(text);
  }

  addEqual(column: string, value: string | undefined): void {
    if (value !== undefined) this.add(`${column} = ${this.value(value)}`);
  }

  /** From the first on, before the second. */
  addBetween(column: string, from: SqlValue | undefined, before: SqlValue | undefined): void {
    if (from !== undefined) this.add(`${column} >= ${this.value(from)}`);
    if (before !== undefined) this.add(`${column} < ${this.value(before)}`);
  }

  /** One of the texts, or NULL if null is among them. */
  addOneOf(column: string, values: readonly (string | null)[] | undefined): void {
    if (values === undefined || values.length === 0) return;
    const texts = values.flatMap((value) => (value === null ? [] : [storable(value)]));
    const orNull = values.includes(null) ? ` OR ${column} IS NULL` : "";
    this.add(`(${column} = ANY (${this.value(texts)}::text[])${orNull})`);
  }

  addScope(column: string, scope: Scope): void {
    if (scope.kind === "client") this.add(`(${column} IS NULL OR ${column} = ${this.value(scope.clientId)})`);
  }

  get sql(): string {
    return this.#texts.length === 0 ? "true" : this.#texts.join(" AND ");
  }
}

/** For LIKE: `*` stands for any text, everything else for itself. */
export function toLike(pattern: string): string {
  return pattern.replace(/[\\%_]/g, (char) => `\\${char}`).replaceAll("*", "%");
}
