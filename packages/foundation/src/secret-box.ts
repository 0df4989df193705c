import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { CodedError } from "./coded-error.ts";

/**
 * Secrets at rest.
 *
 * AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce for each sealing: far below the 2^32 sealings a key is good
 * for. A sealed text is `fcs1.<key id>.<base64url of nonce, ciphertext and tag>`; `fcs1` is the version of this
 * form, and the key id is the first 8 hex digits of the key's SHA-256, so that the right one of several keys is found.
 * The additional data `aad` binds a secret to its place (for instance the id of its subscription): copied to another
 * row it does not open.
 *
 * Keys rotate: the first key seals, any of them opens. Opening with none of them fails with SECRET_UNREADABLE.
 */
export type SecretBox = {
  readonly seal: (plaintext: string, aad: string) => string;
  readonly open: (sealed: string, aad: string) => string;
  /** True when it was sealed with another key than the first, or in an older form: seal it again when convenient. */
  readonly needsReseal: (sealed: string) => boolean;
};

export const APP_KEY_BYTES = 32;

const VERSION = "fcs1";
const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_CHARS = 8;

/** `appKeys` is the value of FC_APP_KEY: base64 of 32 bytes, several separated by commas, the sealing one first. */
export function createSecretBox(appKeys: string): SecretBox {
  const keys = parseAppKeys(appKeys).map((key) => ({ key, id: keyIdOf(key) }));
  const first = keys[0];
  if (first === undefined) throw appKeyInvalid("it is empty");
  return {
    seal(plaintext, aad) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, first.key, nonce).setAAD(Buffer.from(aad, "utf8"));
      const body = Buffer.concat([nonce, cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return `${VERSION}.${first.id}.${body.toString("base64url")}`;
    },
    open(sealed, aad) {
      const [version, keyId, body, ...rest] = sealed.split(".");
      if (version !== VERSION || keyId === undefined || body === undefined || rest.length > 0) {
        throw unreadable("it is not in a known form", keyId);
      }
      const found = keys.find((candidate) => candidate.id === keyId);
      if (found === undefined) throw unreadable("its key is not among FC_APP_KEY", keyId);
      return decrypt({ key: found.key, keyId, aad, bytes: Buffer.from(body, "base64url") });
    },
    needsReseal: (sealed) => !sealed.startsWith(`${VERSION}.${first.id}.`),
  };
}

/** A fresh application key, as FC_APP_KEY takes it. */
export function newAppKey(): string {
  return randomBytes(APP_KEY_BYTES).toString("base64");
}

function parseAppKeys(text: string): Buffer[] {
  const parts = text.split(",").map((part) => part.trim());
  return parts.map((part, index) => {
    const key = Buffer.from(part, "base64");
    // Decoding forgives anything, so what it gives is compared with what was written.
    const canonical = key.toString("base64").replaceAll("=", "");
    const written = part.replaceAll("-", "+").replaceAll("_", "/").replaceAll("=", "");
    if (canonical !== written) throw appKeyInvalid(`key ${index + 1} is not base64`);
    if (key.length !== APP_KEY_BYTES) throw appKeyInvalid(`key ${index + 1} has ${key.length} bytes, not 32`);
    return key;
  });
}

function decrypt(input: { key: Buffer; keyId: string; aad: string; bytes: Buffer }): string {
  const { key, keyId, aad, bytes } = input;
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw unreadable("it is cut off", keyId);
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(aad, "utf8"))
      .setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    const text = decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES));
    return Buffer.concat([text, decipher.final()]).toString("utf8");
  } catch (cause) {
    throw unreadable("it was changed or belongs to another place", keyId, cause);
  }
}

function keyIdOf(key: Buffer): string {
  return createHash("sha256").update(key).digest("hex").slice(0, KEY_ID_CHARS);
}

function appKeyInvalid(reason: string): CodedError {
  return new CodedError("APP_KEY_INVALID", { message: `FC_APP_KEY is not valid: ${reason}.` });
}

function unreadable(reason: string, keyId: string | undefined, cause?: unknown): CodedError {
  return new CodedError("SECRET_UNREADABLE", { context: { reason, keyId }, cause });
}
