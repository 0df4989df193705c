/**
 * Tells what a compiled file is by its own first bytes: format, processor and, for ELF, the C library its loader
 * belongs to. Sources: System V ABI (ELF header and program headers), Apple's <mach-o/loader.h>, Microsoft's PE format.
 */

/** All that is looked at stands in the first pages of a file: headers, and the path of the ELF loader. */
export const EXECUTABLE_HEAD_BYTES = 64 * 1024;

const ELF_MAGIC = 0x7f454c46;
const ELF_MACHINES: Readonly<Record<number, string>> = { 0x3e: "x86-64", 0xb7: "arm64" };
const ELF_CLASS_64 = 2;
const ELF_INTERPRETER_SEGMENT = 3;

const MACH_O_64 = 0xfeedfacf;
const MACH_O_MACHINES: Readonly<Record<number, string>> = { 0x01000007: "x86-64", 0x0100000c: "arm64" };

const DOS_MAGIC = 0x4d5a;
const PE_SIGNATURE = 0x50450000;
const PE_PLUS_MAGIC = 0x20b;
const PE_MACHINES: Readonly<Record<number, string>> = { 0x8664: "x86-64", 0xaa64: "arm64" };

/** For example `ELF x86-64 (glibc)`, `Mach-O arm64`, `PE32+ x86-64`; `unknown` for anything else. */
export function executableKind(head: Uint8Array): string {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  try {
    if (view.getUint32(0) === ELF_MAGIC) return elfKind(view);
    if (view.getUint32(0, true) === MACH_O_64) return `Mach-O ${machine(MACH_O_MACHINES, view.getUint32(4, true))}`;
    if (view.getUint16(0) === DOS_MAGIC) return peKind(view);
    return "unknown";
  } catch (error) {
    // A header that points beyond the bytes at hand is no executable's.
    if (error instanceof RangeError) return "unknown";
    throw error;
  }
}

export async function executableKindOf(path: string): Promise<string> {
  return executableKind(await Bun.file(path).slice(0, EXECUTABLE_HEAD_BYTES).bytes());
}

function machine(names: Readonly<Record<number, string>>, code: number): string {
  return names[code] ?? `0x${code.toString(16)}`;
}

function elfKind(view: DataView): string {
  if (view.getUint8(4) !== ELF_CLASS_64) return "unknown";
  const loader = elfLoader(view);
  const library = loader === null ? "static" : loader.includes("musl") ? "musl" : "glibc";
  return `ELF ${machine(ELF_MACHINES, view.getUint16(18, true))} (${library})`;
}

/** The path in the interpreter segment; null for a file that needs no loader. */
function elfLoader(view: DataView): string | null {
  const tableAt = Number(view.getBigUint64(32, true));
  const entryBytes = view.getUint16(54, true);
  for (let index = 0; index < view.getUint16(56, true); index += 1) {
    const at = tableAt + index * entryBytes;
    if (view.getUint32(at, true) !== ELF_INTERPRETER_SEGMENT) continue;
    const pathAt = Number(view.getBigUint64(at + 8, true));
    const pathBytes = Number(view.getBigUint64(at + 32, true));
    if (pathAt + pathBytes > view.byteLength) throw new RangeError("loader path");
    return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + pathAt, pathBytes));
  }
  return null;
}

function peKind(view: DataView): string {
  const peAt = view.getUint32(0x3c, true);
  if (view.getUint32(peAt) !== PE_SIGNATURE) return "unknown";
  const format = view.getUint16(peAt + 24, true) === PE_PLUS_MAGIC ? "PE32+" : "PE32";
  return `${format} ${machine(PE_MACHINES, view.getUint16(peAt + 4, true))}`;
}
