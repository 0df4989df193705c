import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-postgres", "postgres");
