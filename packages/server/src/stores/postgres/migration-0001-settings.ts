import type { Migration } from "../../postgres/migrations.ts";

export const migration0001: Migration = { number: 1, name: "settings", sql: "" };
