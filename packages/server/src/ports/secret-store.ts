/** Signing secrets, sealed at rest. A ref is `subscription:<id>`, `client:<id>` or a name tasks use. */
export interface SecretStore {
  /**
   * Adds a secret that signs from now; the ones before stay valid until `overlapUntilMs`. `secret` is `whsec_<base64>`.
   */
  put(ref: string, secret: string, overlapUntilMs: number): Promise<void>;
  /** Secrets valid at `nowMs`, the newest first; empty: the ref is unknown. */
  valid(ref: string, nowMs: number): Promise<readonly string[]>;
  remove(ref: string): Promise<void>;
}
