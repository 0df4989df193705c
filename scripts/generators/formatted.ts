import { join } from "node:path";
import { ROOT } from "../run-command.ts";

/** A source text as the formatter would leave it, so that what is generated passes `npm run verify -- format`. */
export async function formatted(path: string, text: string): Promise<string> {
  const child = Bun.spawn([join(ROOT, "node_modules/.bin/oxfmt"), `--stdin-filepath=${path}`], {
    cwd: ROOT,
    stdin: new Blob([text]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${path} cannot be formatted: ${err}`);
  return out;
}
