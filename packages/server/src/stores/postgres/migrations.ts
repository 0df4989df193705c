import type { MigrationSet } from "../../postgres/migrations.ts";
import { migration0001 } from "./migration-0001-settings.ts";
import { migration0002 } from "./migration-0002-event-log.ts";
import { migration0003 } from "./migration-0003-jobs.ts";
import { migration0004 } from "./migration-0004-installation.ts";
import { migration0005 } from "./migration-0005-audit-logs.ts";

/** Every migration of the store. A new one goes to the end; one that was released is never edited. */
export const storeMigrations: MigrationSet = {
  component: "store",
  migrations: [migration0001, migration0002, migration0003, migration0004, migration0005],
};
