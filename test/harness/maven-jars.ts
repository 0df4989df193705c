import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ServiceFault } from "./private-service.ts";

/**
 * Java libraries that Debian does not have, brought by Maven into a cache of the user. Whatever is there is used only
 * while its SHA-256 is the one written beside its name.
 */
export interface MavenJar {
  /** As Maven names it: `group:artifact:version`. */
  readonly artifact: string;
  readonly sha256: string;
}

export interface MavenJars {
  readonly areThere: () => boolean;
  /** Brings those that are missing, from wherever Maven's settings point it. */
  readonly fetch: () => Promise<void>;
  /** Puts copies into a folder, because the account that runs a server cannot read another user's cache. */
  readonly copyTo: (folder: string) => readonly string[];
}

const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";
const fetchLimitMs = 180_000;

/** `name`: of what they are for, as the cache's folder is called. */
export function mavenJars(name: string, jars: readonly MavenJar[]): MavenJars {
  const cached = (jar: MavenJar): string => join(cacheFolder(name), fileOf(jar));
  return {
    areThere: () => jars.every((jar) => isGenuine(jar, cached(jar))),
    fetch: async () => {
      if (Bun.which("mvn") === null) throw new ServiceFault(`there is no mvn to fetch what ${name} needs with`);
      const incoming = `${cacheFolder(name)}-${process.pid}`;
      try {
        for (const jar of jars.filter((wanted) => !isGenuine(wanted, cached(wanted)))) {
          const fetched = await fetchJar(jar, incoming);
          mkdirSync(cacheFolder(name), { recursive: true });
          renameSync(fetched, cached(jar));
        }
      } finally {
        rmSync(incoming, { recursive: true, force: true });
      }
    },
    copyTo: (folder) =>
      jars.map((jar) => {
        const copy = join(folder, fileOf(jar));
        copyFileSync(cached(jar), copy);
        return copy;
      }),
  };
}

async function fetchJar(jar: MavenJar, incoming: string): Promise<string> {
  mkdirSync(incoming, { recursive: true });
  const goal = [mavenCopy, `-Dartifact=${jar.artifact}`, `-DoutputDirectory=${incoming}`];
  const child = Bun.spawn(["mvn", "--batch-mode", "--quiet", ...goal], {
    cwd: incoming,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: fetchLimitMs,
  });
  const [out, exitCode] = await Promise.all([child.stdout.text(), child.exited]);
  const fetched = join(incoming, fileOf(jar));
  if (exitCode !== 0 || !existsSync(fetched)) {
    const reason = out.split("\n").find((line) => line.includes("ERROR")) ?? `mvn ended with ${exitCode}`;
    throw new ServiceFault(`${jar.artifact} was not fetched: ${reason}`);
  }
  if (!isGenuine(jar, fetched)) throw new ServiceFault(`${jar.artifact} is not the one expected: wrong SHA-256`);
  return fetched;
}

function fileOf({ artifact }: MavenJar): string {
  const [, name, version] = artifact.split(":");
  return `${name}-${version}.jar`;
}

function cacheFolder(name: string): string {
  const { XDG_CACHE_HOME: place = "" } = process.env;
  return join(place === "" ? join(homedir(), ".cache") : place, `flowcatalyst-${name}`);
}

function isGenuine(jar: MavenJar, path: string): boolean {
  if (!existsSync(path)) return false;
  return createHash("sha256").update(readFileSync(path)).digest("hex") === jar.sha256;
}
