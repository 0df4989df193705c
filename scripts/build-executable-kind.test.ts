import { expect, test } from "bun:test";
import { executableKind, executableKindOf } from "./build-executable-kind.ts";
import { BUILD_TARGETS, ownTarget } from "./build-targets.ts";

type Field = readonly [at: number, bytes: 1 | 2 | 4 | 8, value: number];

/** Little-endian fields in a file of zeros. */
function fileOf(fields: readonly Field[], text?: readonly [at: number, text: string]): Uint8Array {
  const bytes = new Uint8Array(1_024);
  for (const [at, count, value] of fields) {
    for (let n = 0; n < count; n += 1) bytes[at + n] = Math.floor(value / 2 ** (8 * n)) % 256;
  }
  if (text !== undefined) new TextEncoder().encodeInto(text[1], bytes.subarray(text[0]));
  return bytes;
}

function elf(machine: number, loader: string | null): Uint8Array {
  const segment: readonly Field[] = [
    [64, 4, loader === null ? 1 : 3],
    [72, 8, 200],
    [96, 8, loader?.length ?? 0],
  ];
  const head: readonly Field[] = [
    [0, 4, 0x464c457f],
    [4, 1, 2],
    [18, 2, machine],
    [32, 8, 64],
    [54, 2, 56],
    [56, 2, 1],
  ];
  return fileOf([...head, ...segment], [200, loader ?? ""]);
}

const machO = (cpu: number): Uint8Array =>
  fileOf([
    [0, 4, 0xfeedfacf],
    [4, 4, cpu],
  ]);

const pe = (machine: number): Uint8Array =>
  fileOf([
    [0, 2, 0x5a4d],
    [0x3c, 4, 128],
    [128, 4, 0x4550],
    [132, 2, machine],
    [152, 2, 0x20b],
  ]);

test("tells format, processor and C library", () => {
  expect(executableKind(elf(0x3e, "/lib64/ld-linux-x86-64.so.2"))).toBe("ELF x86-64 (glibc)");
  expect(executableKind(elf(0xb7, "/lib/ld-musl-aarch64.so.1"))).toBe("ELF arm64 (musl)");
  expect(executableKind(elf(0xf3, null))).toBe("ELF 0xf3 (static)");
  expect(executableKind(machO(0x01000007))).toBe("Mach-O x86-64");
  expect(executableKind(machO(0x0100000c))).toBe("Mach-O arm64");
  expect(executableKind(pe(0x8664))).toBe("PE32+ x86-64");
  expect(executableKind(pe(0xaa64))).toBe("PE32+ arm64");
});

test("anything else is unknown, headers that point nowhere too", () => {
  expect(executableKind(new Uint8Array())).toBe("unknown");
  expect(executableKind(new TextEncoder().encode("#!/bin/sh\necho\n"))).toBe("unknown");
  expect(executableKind(pe(0x8664).subarray(0, 100))).toBe("unknown");
  const beyond = elf(0x3e, "/lib64/ld-linux-x86-64.so.2");
  beyond.fill(0xff, 72, 76);
  expect(executableKind(beyond)).toBe("unknown");
});

test("the runtime of this machine is of the kind of one target", async () => {
  const own = await ownTarget(process.execPath);
  expect(await executableKindOf(process.execPath)).toBe(own.kind);
  expect(new Set(BUILD_TARGETS.map(({ kind }) => kind)).size).toBe(BUILD_TARGETS.length);
});
