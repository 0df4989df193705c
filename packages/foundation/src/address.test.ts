import { expect, test } from "bun:test";
import { placeOfAddress, shownFaultyAddresses, withoutPasswords } from "./address.ts";
import { redactText } from "./redaction.ts";

const passwords = [
  "s3cr3t",
  "12/s3cr3t",
  "12?s3cr3t",
  "s3cr3t#x",
  "12@s3cr3t",
  "a:s3cr3t",
  "a,s3cr3t",
  "s3 cr3t",
  "%zs3cr3t",
];

test.each(passwords)("a password is masked wherever an address is shown, whatever is in it: %s", (password) => {
  for (const scheme of ["postgres:", "mongodb+srv:", "nats:", ""]) {
    const address = `${scheme}//me:${password}@host:5432/app?sslmode=require`;
    expect(withoutPasswords(address)).toBe(`${scheme}//me:********@host:5432/app?sslmode=require`);
    expect(placeOfAddress(address)).not.toMatch(scheme === "" ? /never/ : /cr3t|me/);
    expect(shownFaultyAddresses(address) ?? "").not.toContain("cr3t");
  }
});

test.each([
  ["nats://s3cr3t@a:4222,s3cr3t@b:4222", "nats://********@b:4222"],
  ["nats://to/s3cr3t@a", "nats://********@a"],
  ["postgres://me@db/app", "postgres://me@db/app"],
  ["postgres://db/app?user=me&password=s3cr3t", "postgres://db/app?user=me&password=********"],
  ["postgres://db/app?p%61ssword=s3cr3t&a=b", "postgres://db/app?p%61ssword=********&a=b"],
  ["mongodb://db/app?tlsCertificateKeyFilePassword=s3cr3t", "mongodb://db/app?tlsCertificateKeyFilePassword=********"],
  ["mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:s3cr3t", null],
  ["https://config/router?sig=s3cr3t", "https://config/router?sig=********"],
  ["http://localhost:8080/health", "http://localhost:8080/health"],
])("what else opens a place is masked, and nothing more: %s", (address, shown) => {
  if (shown !== null) expect(withoutPasswords(address)).toBe(shown);
  expect(withoutPasswords(address)).not.toContain("cr3t");
});

test("of what is no address nothing is shown, and no password that lacks its host", () => {
  for (const text of ["s3cr3t", "postgresql//me:s3cr3t@db/app", "postgres:s3cr3t@db", "nats://me:12 s3cr3t"]) {
    expect(shownFaultyAddresses(text)).toBeUndefined();
  }
  expect(shownFaultyAddresses("postgres://me:s3cr3t")).toBe("postgres://me:********");
  expect(shownFaultyAddresses("mysql://db:3306/app http://[::1]:80/")).toBe("mysql://db:3306/app http://[::1]:80/");
});

test("the place is the host and what is there", () => {
  expect(placeOfAddress("mongodb://me:pw@one:1,two:2/app?w=1")).toBe("mongodb://one:1,two:2/app");
  expect(placeOfAddress("sqlite:/data/a@b/app.db")).toBe("sqlite:/data/a@b/app.db");
});

test("in a text of a log each address is masked by itself, and other texts are as they were", () => {
  const text = 'postgres://a:12@s3cr3t@h/x, nats://s3cr3t@n:4222 and "mongodb://a:s/cr3t@h" of me@here';
  expect(redactText(text)).toBe(
    'postgres://a:[redacted]@h/x, nats://[redacted]@n:4222 and "mongodb://a:[redacted]@h" of me@here',
  );
  for (const open of ["https://example.com:8443/@me/a@b?x=1", "http://h:80/p", "no address // a: b@c"]) {
    expect(redactText(open)).toBe(open);
  }
});
