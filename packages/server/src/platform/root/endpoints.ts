import { serviceRootSchema } from "@flowcatalyst/contracts";
import { endpoint } from "../../http/endpoint.ts";

export const rootEndpoints = {
  root: endpoint({
    id: "getRoot",
    method: "get",
    path: "/",
    tag: "Service",
    summary: "Addresses, counts and links",
    answers: { 200: { description: "What is here.", schema: serviceRootSchema } },
  }),
} as const;
