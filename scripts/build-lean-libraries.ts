import type { BunPlugin } from "bun";

/**
 * Parts of libraries that the product never calls but that load with the rest, left out of the executable because of
 * what they load in turn. Each saves time at start and memory; `why` says whose. Used from source, the libraries are
 * whole.
 */
interface LeftOut {
  /** Of the file, from the library's name on. */
  readonly path: RegExp;
  readonly contents: string;
  readonly why: string;
}

const LEFT_OUT: readonly LeftOut[] = [
  {
    path: /node_modules[\\/]prom-client[\\/]index\.js$/,
    contents: `exports.Registry = require("./lib/registry");
exports.Counter = require("./lib/counter");
exports.Gauge = require("./lib/gauge");
exports.Histogram = require("./lib/histogram");`,
    why: "the push gateway loads node:http, the default metrics load OpenTelemetry: 5 ms and 9 MB",
  },
  {
    path: /node_modules[\\/]pino[\\/]lib[\\/]transport\.js$/,
    contents: `module.exports = () => { throw new Error("the executable has no log transports"); };`,
    why: "transports are worker threads, which an executable cannot load: 1 ms and 2 MB",
  },
];

/** `missed` tells after a build which files no library had any more. */
export function leanLibraries(): { readonly plugin: BunPlugin; readonly missed: () => readonly string[] } {
  const met = new Set<LeftOut>();
  return {
    plugin: {
      name: "lean-libraries",
      setup: (build) => {
        for (const one of LEFT_OUT) {
          build.onLoad({ filter: one.path }, () => {
            met.add(one);
            return { contents: one.contents, loader: "js" };
          });
        }
      },
    },
    missed: () => LEFT_OUT.filter((one) => !met.has(one)).map((one) => String(one.path)),
  };
}
