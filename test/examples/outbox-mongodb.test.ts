import { withoutTransactions } from "../../packages/sdk/src/outbox/mongo-transactions.fixture.ts";
import { provesOutboxExample } from "./outbox-example.ts";

provesOutboxExample("outbox-mongodb", "mongodb", await withoutTransactions());
