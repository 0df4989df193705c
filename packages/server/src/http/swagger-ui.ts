import { Hono } from "hono";
import bundlePath from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import presetPath from "swagger-ui-dist/swagger-ui-standalone-preset.js" with { type: "file" };
import stylesPath from "swagger-ui-dist/swagger-ui.css" with { type: "file" };

/**
 * `/openapi.json`, and a page at `/swagger-ui` to browse it. The assets are files inside the executable: nothing is
 * fetched from elsewhere, and nothing is read until somebody looks.
 */
export function createDocsRoutes(title: string, document: () => object): Hono {
  const app = new Hono();
  let text: string | null = null;
  app.get("/openapi.json", () => {
    text ??= JSON.stringify(document());
    return new Response(text, { headers: { "content-type": "application/json" } });
  });
  app.get("/swagger-ui", () => html(page(title)));
  app.get("/swagger-ui/", () => html(page(title)));
  app.get("/swagger-ui/start.js", () => asset(startScript, "text/javascript; charset=utf-8"));
  app.get("/swagger-ui/bundle.js", () => asset(Bun.file(bundlePath), "text/javascript; charset=utf-8"));
  app.get("/swagger-ui/preset.js", () => asset(Bun.file(presetPath), "text/javascript; charset=utf-8"));
  app.get("/swagger-ui/styles.css", () => asset(Bun.file(stylesPath), "text/css; charset=utf-8"));
  return app;
}

const startScript = `window.ui = SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: "StandaloneLayout",
  validatorUrl: null
});`;

function page(title: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title}</title>
    <link rel="stylesheet" href="/swagger-ui/styles.css">
    <link rel="icon" href="data:,">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/swagger-ui/bundle.js"></script>
    <script src="/swagger-ui/preset.js"></script>
    <script src="/swagger-ui/start.js"></script>
  </body>
</html>
`;
}

const pagePolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";

function html(text: string): Response {
  return new Response(text, {
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": pagePolicy },
  });
}

function asset(content: string | Blob, contentType: string): Response {
  return new Response(content, { headers: { "content-type": contentType, "cache-control": "public, max-age=3600" } });
}
