import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-mongodb", "mongodb");
