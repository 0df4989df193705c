/**
 * The tests that a run has skipped, as `file: suite > suite > test`, from the list that `bun test` writes in the format
 * of JUnit: its own output names none of them while it shows failures only.
 */
export function skippedTests(junit: string): readonly string[] {
  const names: string[] = [];
  const suites: string[] = [];
  let test = "";
  for (const [tag, name = ""] of junit.matchAll(
    /<(?:testsuite|testcase) name="([^"]*)"[^>]*>|<skipped|<\/testsuite>/g,
  )) {
    if (tag === "</testsuite>") suites.pop();
    else if (tag === "<skipped") names.push(`${suites[0] ?? ""}: ${[...suites.slice(1), test].join(" > ")}`);
    else if (tag.startsWith("<testcase")) test = unescape(name);
    else suites.push(unescape(name));
  }
  return names;
}

function unescape(text: string): string {
  const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp|#(\d+));/g, (_, name: string, code: string | undefined) =>
    code === undefined ? (entities[name] ?? "") : String.fromCodePoint(Number(code)),
  );
}
