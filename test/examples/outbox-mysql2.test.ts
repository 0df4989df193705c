import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-mysql2", "mysql");
