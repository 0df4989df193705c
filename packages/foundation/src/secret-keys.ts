/** Key names that hold secrets, compared without case, `-` and `_`. Ends count: `apiToken`, `x-api-key`, `appKey`. */
const SECRET_KEY =
  /(authorization|cookie|password|passwd|secret|secrets|token|tokens|apikey|appkey|privatekey|credential|credentials)$/;
/** Keys that end like a secret and are none. */
const HARMLESS_KEYS: ReadonlySet<string> = new Set(["canceltoken", "nexttoken"]);

export function isSecretKey(key: string): boolean {
  const plain = key.toLowerCase().replaceAll(/[-_]/g, "");
  return SECRET_KEY.test(plain) && !HARMLESS_KEYS.has(plain);
}
