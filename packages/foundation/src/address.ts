import { isSecretKey } from "./secret-keys.ts";

/**
 * Addresses as they may be shown. Whatever prints an address, or a text that may have one in it, asks here.
 *
 * All up to the last `@` is taken for user and password: where an address is not well formed, a password is often why
 * (it has a `/`, `@` or `#` that is not escaped); and where it names several hosts, each may have a password before it.
 */

/** What a secret looks like when it is printed. */
export const MASK = "********";

const userInfoShape = /([a-z][a-z0-9+.-]{0,20}:)?\/\/(.*)@/is;
const userShape = /^([^:@/?#,\s]*)(:?)/;
/** NATS takes a token where others have a user. */
const tokenSchemes: ReadonlySet<string> = new Set(["nats:", "tls:", ""]);

/** The address, well formed or not, or the text with one, without what may be a password. */
export function withoutPasswords(written: string, mask = MASK): string {
  if (!written.includes("@")) return withoutSecretParameters(written, mask);
  const shown = written.replace(userInfoShape, (_all, scheme: string | undefined, info: string) => {
    const [start = "", user = "", colon = ""] = userShape.exec(info) ?? [];
    const before = `${scheme ?? ""}//`;
    if (colon !== "") return `${before}${user}:${mask}@`;
    const isUser = start === info && !tokenSchemes.has((scheme ?? "").toLowerCase());
    return `${before}${isUser ? user : mask}@`;
  });
  return withoutSecretParameters(shown, mask);
}

/** Drivers of databases take passwords there as well, and a server of configurations may take a signature. */
function withoutSecretParameters(address: string, mask: string): string {
  return address
    .replace(/([?&])([^?&=#\s]+)=[^&#\s]*/g, (all: string, before: string, name: string) =>
      isSecretParameter(decoded(name)) ? `${before}${name}=${mask}` : all,
    )
    .replace(/(AWS_SESSION_TOKEN:)[^&#,\s]*/gi, `$1${mask}`);
}

function isSecretParameter(name: string): boolean {
  return isSecretKey(name) || /^(?:pass|pwd|sig)$|passphrase$|signature$/i.test(name);
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/**
 * Of a text that should be addresses and is not. Undefined: nothing can be shown, because a part of it has no scheme
 * and may be anything. A password may stand there without a host behind it.
 */
export function shownFaultyAddresses(written: string): string | undefined {
  if (!written.split(/\s+/).every((part) => /^[a-z][a-z0-9+.-]*:\/\//i.test(part))) return undefined;
  if (written.includes("@")) return withoutPasswords(written);
  return withoutPasswords(written.replaceAll(/(\/\/[^:/?#,\s[]*):(?!\d{1,5}(?:[/?#,\s]|$))[^/?#,\s]+/g, `$1:${MASK}`));
}

/** Why nothing that looks like it is accepted as an address: where its user and its host end would be a guess. */
export function hasMisplacedAt(address: string): boolean {
  return /^[^:]*:\/\/[^/?#]*[/?#].*@/s.test(address);
}

/** Without user, password and options. By hand: several hosts make no URL. */
export function placeOfAddress(address: string): string {
  return address.replace(/^([a-z][a-z0-9+.-]*:\/\/).*@/is, "$1").replace(/\?.*$/s, "");
}

/** The length of schemes is bounded here, so that a log's text of any kind is read in time in proportion to it. */
const addressInText = /\b[a-z][a-z0-9+.-]{0,20}:\/\/(?:(?![a-z][a-z0-9+.-]{0,20}:\/\/)[^\s"'`<>])*/gi;
/** Pages of others may have an `@` in their path; addresses of ours have none there (hasMisplacedAt). */
const webPath = /^https?:\/\/[^:@/?#]*(?::\d{1,5})?[/?#]/i;

/** A text of a log, in which several addresses may stand, without the passwords in them. */
export function textWithoutPasswords(text: string, mask: string): string {
  if (!text.includes("://")) return text;
  return text.replaceAll(addressInText, (address) =>
    webPath.test(address) ? withoutSecretParameters(address, mask) : withoutPasswords(address, mask),
  );
}
