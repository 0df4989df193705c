import type { FlowCatalystClient } from "@flowcatalyst/sdk";
import { usageError } from "./context.ts";

const idPrefix = "sub_";
const candidatesMax = 100;

/**
 * The id of the subscription somebody means by an id, a code or a name. One that is archived is meant only if no other
 * is called so. What nothing is called is given back as it is: the server says then that there is none.
 */
export async function subscriptionNamed(client: FlowCatalystClient, given: string): Promise<string> {
  if (given.startsWith(idPrefix)) return given;
  for (const field of ["code", "name"]) {
    const { items } = await client.subscriptions.list({ [field]: given, limit: candidatesMax });
    const alive = items.filter(({ status }) => status !== "ARCHIVED");
    const candidates = alive.length > 0 ? alive : items;
    if (candidates.length > 1) {
      throw usageError(`several subscriptions are called ${given}: ${candidates.map(({ id }) => id).join(", ")}`);
    }
    const [only] = candidates;
    if (only !== undefined) return only.id;
  }
  return given;
}
