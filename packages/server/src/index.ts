/** What `flowcatalyst` starts, and what it asks about settings. Everything else of the server is its own affair. */
export { migrateDatabases, type MigrateInput, type MigrationReport } from "./main/migrate.ts";
export { checkConfig, runService, type ServiceInput, type ServiceName } from "./main/run-service.ts";
