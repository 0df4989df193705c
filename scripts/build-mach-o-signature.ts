import { open } from "node:fs/promises";

/**
 * Takes the code signature out of a Mach-O file, as `codesign --remove-signature` does.
 *
 * The bundler puts the product into a copy of the runtime, whose signature is of the bytes it had before. For arm64 it
 * signs the result afresh, for x86-64 it does not (Bun 1.4.5): 75 of 23,797 pages did not have the hash that the
 * signature states, and macOS ends a process that has one. Without any signature the kernel asks nothing of x86-64
 * code, neither on Intel nor under Rosetta; arm64 code without one is never run.
 *
 * Layout: Apple's <mach-o/loader.h>. The signature is the end of the segment __LINKEDIT, which is the end of the file.
 */
const HEADER_BYTES = 32;
const COUNT_AT = 16;
const COMMANDS_BYTES_AT = 20;
const SEGMENT_64 = 0x19;
const CODE_SIGNATURE = 0x1d;
const SEGMENT_NAME_BYTES = 16;

interface Commands {
  readonly view: DataView;
  readonly signatureAt: number;
  readonly linkEditAt: number;
}

/** Changes the file in place; one without a signature is left as it is. Throws on a layout it does not know. */
export async function removeMachOSignature(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const head = Buffer.alloc(HEADER_BYTES);
    await file.read(head, 0, HEADER_BYTES, 0);
    const all = Buffer.alloc(HEADER_BYTES + head.readUInt32LE(COMMANDS_BYTES_AT));
    await file.read(all, 0, all.length, 0);
    const commands = commandsOf(new DataView(all.buffer, all.byteOffset, all.length));
    if (commands === null) return;
    const dataAt = commands.view.getUint32(commands.signatureAt + 8, true);
    const dataEnd = dataAt + commands.view.getUint32(commands.signatureAt + 12, true);
    if ((await file.stat()).size !== dataEnd) throw new Error("the signature is not the end of the file");
    dropSignature(commands, dataAt);
    await file.write(all, 0, all.length, 0);
    await file.truncate(dataAt);
  } finally {
    await file.close();
  }
}

function commandsOf(view: DataView): Commands | null {
  let [at, signatureAt, linkEditAt] = [HEADER_BYTES, 0, 0];
  for (let left = view.getUint32(COUNT_AT, true); left > 0; left -= 1) {
    const command = view.getUint32(at, true);
    if (command === CODE_SIGNATURE) signatureAt = at;
    if (command === SEGMENT_64 && segmentName(view, at + 8) === "__LINKEDIT") linkEditAt = at;
    at += view.getUint32(at + 4, true);
  }
  if (signatureAt === 0) return null;
  if (linkEditAt === 0) throw new Error("a signature, but no segment __LINKEDIT");
  return { view, signatureAt, linkEditAt };
}

function segmentName(view: DataView, at: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, SEGMENT_NAME_BYTES);
  return new TextDecoder().decode(bytes).replace(/\0+$/, "");
}

/** Without the command, and with a segment that ends where the signature began. */
function dropSignature({ view, signatureAt, linkEditAt }: Commands, dataAt: number): void {
  const commandBytes = view.getUint32(signatureAt + 4, true);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const segmentAt = view.getBigUint64(linkEditAt + 40, true);
  view.setBigUint64(linkEditAt + 48, BigInt(dataAt) - segmentAt, true);
  view.setUint32(COUNT_AT, view.getUint32(COUNT_AT, true) - 1, true);
  view.setUint32(COMMANDS_BYTES_AT, view.getUint32(COMMANDS_BYTES_AT, true) - commandBytes, true);
  bytes.copyWithin(signatureAt, signatureAt + commandBytes);
  bytes.fill(0, bytes.length - commandBytes);
}
