import { platformOpenApi } from "../../packages/server/src/platform/platform-openapi.ts";
import { routerOpenApi } from "../../packages/server/src/router/router-endpoints.ts";
import type { Generator } from "./generator.ts";

function jsonFile(path: string, document: () => object): Generator {
  return { path, produce: () => Promise.resolve(`${JSON.stringify(document(), null, 2)}\n`) };
}

/** The OpenAPI documents, as the servers give them at `/openapi.json`: a change on the wire is a reviewed diff. */
export const openApiDocuments: readonly Generator[] = [
  jsonFile("docs/reference/openapi.json", platformOpenApi),
  jsonFile("docs/reference/router-openapi.json", routerOpenApi),
];
