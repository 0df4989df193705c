import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-sqlite", "sqlite");
