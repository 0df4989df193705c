import { provesWebhookExample } from "./webhook-example.ts";

provesWebhookExample("webhook-hono");
