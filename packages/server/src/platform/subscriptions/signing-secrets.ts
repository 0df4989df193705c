import type { SigningSecret } from "@flowcatalyst/contracts";
import { CodedError, type Clock, type Random } from "@flowcatalyst/foundation";
import { subscriptionSecretRef } from "../../domain/delivery-profile.ts";
import type { SubscriptionId } from "../../domain/ids.ts";
import { secretPrefix } from "../../domain/signature.ts";
import type { SecretStore } from "../../ports/secret-store.ts";

/** Signing secrets of subscriptions: made here, kept sealed in the store, told only when asked for. */
export interface SigningSecrets {
  create(id: SubscriptionId): Promise<void>;
  rotate(id: SubscriptionId, overlapMs: number): Promise<SigningSecret>;
  read(id: SubscriptionId): Promise<SigningSecret>;
  remove(id: SubscriptionId): Promise<void>;
}

export interface SigningSecretsDeps {
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
  readonly secrets: SecretStore;
}

/** Of the 24 to 64 bytes Standard Webhooks recommends. */
const secretBytes = 32;

export function createSigningSecrets({ clock, random, secrets }: SigningSecretsDeps): SigningSecrets {
  const put = (id: SubscriptionId, overlapUntilMs: number): Promise<void> => {
    const secret = secretPrefix + Buffer.from(random.bytes(secretBytes)).toString("base64");
    return secrets.put(subscriptionSecretRef(id), secret, overlapUntilMs);
  };
  const read = async (id: SubscriptionId): Promise<SigningSecret> => {
    const [secret, ...alsoValid] = await secrets.valid(subscriptionSecretRef(id), clock.now());
    if (secret === undefined)
      throw new CodedError("NOT_FOUND", { message: "The subscription has no secret; rotate it." });
    return { secret, alsoValid };
  };
  return {
    create: (id) => put(id, clock.now()),
    rotate: async (id, overlapMs) => {
      await put(id, clock.now() + overlapMs);
      return read(id);
    },
    read,
    remove: (id) => secrets.remove(subscriptionSecretRef(id)),
  };
}
