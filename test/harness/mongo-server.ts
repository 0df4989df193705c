import { join } from "node:path";
import { MongoClient } from "mongodb";
import { type BrokerServer, createBroker } from "./broker-process.ts";
import { mavenJars } from "./maven-jars.ts";
import { giveFile, ServiceFault } from "./private-service.ts";

/**
 * A private server that speaks MongoDB's wire protocol: mongo-java-server, all of its data in memory, loopback. Debian
 * has no MongoDB. Maven brings it; Java's compiler makes its main class when it starts.
 *
 * It differs from MongoDB in this: no sessions and no transactions; no replica set; updates by pipelines are refused;
 * a stop forgets everything. Filters with `$expr` and `$$NOW`, `$currentDate`, aggregations and change streams it has.
 * It tells the driver the oldest version that the driver works with.
 */
const serverJars = mavenJars("mongodb", [
  {
    artifact: "de.bwaldvogel:mongo-java-server-core:1.47.0",
    sha256: "9a34c9ad6ac6261906295481838256033ec1efc8c93a3e3828e5d47a006b0bd4",
  },
  {
    artifact: "de.bwaldvogel:mongo-java-server-memory-backend:1.47.0",
    sha256: "82864f8a2ede1514f64c2cd3a70e8022c259eb3d78975cfa208c1668ac1f12bb",
  },
  {
    artifact: "io.netty:netty-buffer:4.2.2.Final",
    sha256: "4820eeb2d3db269b20b30711e3d7d21979664249aaf10fc67f90dee935810747",
  },
  {
    artifact: "io.netty:netty-codec-base:4.2.2.Final",
    sha256: "76987614ccb2fda7d3292b69ba5b61351f30e91bf5c7d8fa4b51bc32c9f67456",
  },
  {
    artifact: "io.netty:netty-common:4.2.2.Final",
    sha256: "5d022f3acad74cb0f195f60213500a4000d1340e5e941edaf1a0e756686b9bae",
  },
  {
    artifact: "io.netty:netty-handler:4.2.2.Final",
    sha256: "d4ef582c78125457baa0cfa52992b5fb1bb9172d1a2c03b726e8b26e17d3fe2c",
  },
  {
    artifact: "io.netty:netty-resolver:4.2.2.Final",
    sha256: "fa7841ffe2e39d52251814fb8560d6936b10ae7c67453ee50426b83fd5170ba0",
  },
  {
    artifact: "io.netty:netty-transport:4.2.2.Final",
    sha256: "116d766a1af4722fe76a4cdaed969644985d44e08ec1337d2dbab697dd109603",
  },
  {
    artifact: "io.netty:netty-transport-native-unix-common:4.2.2.Final",
    sha256: "aa8821a7ea2ca47f62740bd1f37d67deb97824cc77e76dde6ae2c439a923fc9d",
  },
  {
    artifact: "org.slf4j:slf4j-api:2.0.17",
    sha256: "7b751d952061954d5abfed7181c1f645d336091b679891591d63329c622eb832",
  },
]);

const oldestVersion = { numbers: "4, 4, 0", wire: 9 };

/** A Java that can compile one file: Debian's `default-jdk-headless`. */
export function hasJavaCompiler(): boolean {
  return Bun.which("java") !== null && Bun.which("javac") !== null;
}

export function findMongo(): boolean {
  return hasJavaCompiler() && serverJars.areThere();
}

/** Brings the server by Maven, from wherever Maven's settings point it. */
export async function fetchMongo(): Promise<void> {
  await serverJars.fetch();
}

export async function createMongoServer(options: { readonly outlives?: boolean } = {}): Promise<BrokerServer> {
  if (!findMongo()) throw new ServiceFault("there is no server for MongoDB: scripts/services install mongodb");
  return createBroker({
    title: "mongo-java-server",
    name: "mongodb",
    account: null,
    outlives: options.outlives ?? false,
    readyWithinMs: 60_000,
    pollMs: 50,
    describe: async (folder, port) => {
      const main = join(folder.path, "PrivateMongo.java");
      giveFile(folder, main, mainClass(port));
      const jvm = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
      const path = serverJars.copyTo(folder.path).join(":");
      const command = ["java", ...jvm, `-Djava.io.tmpdir=${folder.path}`, "-cp", path, main];
      const url = `mongodb://127.0.0.1:${port}/flowcatalyst`;
      return { url, command, environment: { HOME: folder.path }, probe: () => mongoVersion(url) };
    },
  });
}

function mainClass(port: number): string {
  return `import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

public class PrivateMongo {
  public static void main(String[] args) {
    MemoryBackend backend = new MemoryBackend();
    backend.version(new MongoVersion() {
      public List<Integer> getVersionArray() { return List.of(${oldestVersion.numbers}); }
      public int getWireVersion() { return ${oldestVersion.wire}; }
    });
    MongoServer server = new MongoServer(backend);
    server.enableOplog();
    server.bind("127.0.0.1", ${port});
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
  }
}
`;
}

/** `4.4.0`; null: nobody answers there. */
export async function mongoVersion(url: string): Promise<string | null> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: 1_000, connectTimeoutMS: 1_000 });
  try {
    const info = await client.db("admin").command({ buildInfo: 1 });
    return String(info["version"]);
  } catch {
    return null;
  } finally {
    await client.close();
  }
}
