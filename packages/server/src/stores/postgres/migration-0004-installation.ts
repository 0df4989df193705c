import type { Migration } from "../../postgres/migrations.ts";

/** What is true of the installation as a whole: a few rows, read when a process starts. */
export const migration0004: Migration = {
  number: 4,
  name: "installation",
  sql: `
CREATE TABLE installation_facts (
  name text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);
`,
};
