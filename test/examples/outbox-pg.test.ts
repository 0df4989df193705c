import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-pg", "postgres");
