/** What `flowcatalyst` starts, and what it asks about settings. Everything else of the server is its own affair. */
export { migrateDatabases, type MigrateInput, type MigrationReport } from "./main/migrate.ts";
export {
  openOutboxOperations,
  type OutboxChange,
  type OutboxChoice,
  type OutboxListPage,
  type OutboxListQuery,
  type OutboxOperations,
  type OutboxOperationsInput,
  type OutboxStateName,
  type OutboxStatusReport,
} from "./main/outbox-admin.ts";
export { checkConfig, runService, type ServiceInput, type ServiceName } from "./main/run-service.ts";
