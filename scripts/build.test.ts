import { expect, test } from "bun:test";
import { planOf } from "./build.ts";
import { BUILD_TARGETS } from "./build-targets.ts";

test("nothing is this machine's, --all is every platform, names are those", () => {
  expect(planOf([])).toEqual({ targets: [], forThisMachine: true });
  expect(planOf(["--all"])).toEqual({ targets: BUILD_TARGETS, forThisMachine: true });
  const named = planOf(["windows-x64", "linux-arm64"]);
  expect(named).toMatchObject({ targets: [{ name: "linux-arm64" }, { name: "windows-x64" }], forThisMachine: false });
});

test("what is not known is named", () => {
  expect(planOf(["--al", "linux-x64", "solaris"])).toBe("no such platform or option: --al, solaris");
});
