import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeMachOSignature } from "./build-mach-o-signature.ts";

const linkEditAt = 512;
const signatureAt = 800;
const signatureBytes = 100;

/** Header, the segment __LINKEDIT, perhaps the signature's command, and one command after it. */
function machO(signed: boolean): Buffer {
  const file = Buffer.alloc(signatureAt + (signed ? signatureBytes : 0), 0);
  file.fill(7, linkEditAt);
  const segment = Buffer.alloc(72);
  segment.writeUInt32LE(0x19, 0);
  segment.writeUInt32LE(72, 4);
  segment.write("__LINKEDIT", 8);
  segment.writeBigUInt64LE(BigInt(linkEditAt), 40);
  segment.writeBigUInt64LE(BigInt(file.length - linkEditAt), 48);
  const signature = Buffer.alloc(signed ? 16 : 0);
  if (signed) [0x1d, 16, signatureAt, signatureBytes].forEach((value, at) => signature.writeUInt32LE(value, at * 4));
  const last = Buffer.alloc(16, 9);
  last.writeUInt32LE(0x26, 0);
  last.writeUInt32LE(16, 4);
  const commands = Buffer.concat([segment, signature, last]);
  file.writeUInt32LE(0xfeedfacf, 0);
  file.writeUInt32LE(signed ? 3 : 2, 16);
  file.writeUInt32LE(commands.length, 20);
  commands.copy(file, 32);
  return file;
}

async function removedFrom(content: Buffer): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "mach-o-"));
  try {
    const path = join(folder, "program");
    await Bun.write(path, content);
    await removeMachOSignature(path);
    return Buffer.from(await Bun.file(path).bytes());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a file without its signature is the file that never had one", async () => {
  expect(await removedFrom(machO(true))).toEqual(machO(false));
  expect(await removedFrom(machO(false))).toEqual(machO(false));
});

test("bytes after the signature are not thrown away", async () => {
  const longer = Buffer.concat([machO(true), Buffer.alloc(1)]);
  const fault = await removedFrom(longer).then(() => "none", String);
  expect(fault).toContain("not the end of the file");
});
