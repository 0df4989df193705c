import { executableKindOf } from "./build-executable-kind.ts";

/** A platform an executable is made for. */
export interface BuildTarget {
  readonly name: string;
  /** The npm package that holds Bun's runtime for it. */
  readonly runtimePackage: string;
  /** The runtime inside that package. */
  readonly runtimeFile: string;
  readonly bunTarget: Bun.Build.CompileTarget;
  readonly fileName: string;
  /** What the finished file must turn out to be, in the words of `executableKind`. */
  readonly kind: string;
}

export const BUILD_TARGETS: readonly BuildTarget[] = [
  target("linux-x64", "bun-linux-x64", "ELF x86-64 (glibc)"),
  target("linux-arm64", "bun-linux-arm64", "ELF arm64 (glibc)"),
  target("linux-x64-musl", "bun-linux-x64-musl", "ELF x86-64 (musl)"),
  target("linux-arm64-musl", "bun-linux-arm64-musl", "ELF arm64 (musl)"),
  target("macos-x64", "bun-darwin-x64", "Mach-O x86-64"),
  target("macos-arm64", "bun-darwin-arm64", "Mach-O arm64"),
  target("windows-x64", "bun-windows-x64", "PE32+ x86-64"),
  target("windows-arm64", "bun-windows-arm64", "PE32+ arm64"),
];

function target(name: string, bunTarget: Bun.Build.CompileTarget, kind: string): BuildTarget {
  const suffix = name.startsWith("windows-") ? ".exe" : "";
  return {
    name,
    bunTarget,
    kind,
    runtimePackage: `@oven/${bunTarget.replace("arm64", "aarch64")}`,
    runtimeFile: `package/bin/bun${suffix}`,
    fileName: `flowcatalyst-${name}${suffix}`,
  };
}

/** The target of this machine: the one whose executables are of the kind of the runtime that runs this program. */
export async function ownTarget(runtimePath: string): Promise<BuildTarget> {
  const kind = await executableKindOf(runtimePath);
  const own = BUILD_TARGETS.find((one) => one.kind === kind);
  if (own === undefined) throw new Error(`no executable is made for this machine (${kind})`);
  return own;
}
