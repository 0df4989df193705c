import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-kysely", "postgres");
