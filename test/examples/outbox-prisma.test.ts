import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-prisma", "postgres");
