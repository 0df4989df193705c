import type { Migration } from "../../postgres/migrations.ts";

export const migration0002: Migration = { number: 2, name: "event-log", sql: "" };
