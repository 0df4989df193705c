/** Files of swagger-ui-dist imported with `type: "file"`: the value is a path the runtime can open. */

declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export = path;
}
declare module "swagger-ui-dist/swagger-ui-standalone-preset.js" {
  const path: string;
  export = path;
}
declare module "swagger-ui-dist/swagger-ui.css" {
  const path: string;
  export = path;
}
