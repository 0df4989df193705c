/** What `flowcatalyst` starts, and what it asks about settings. Everything else of the server is its own affair. */
export { checkConfig, runService, type ServiceInput, type ServiceName } from "./main/run-service.ts";
