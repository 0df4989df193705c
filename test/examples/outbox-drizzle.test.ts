import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-drizzle", "postgres");
