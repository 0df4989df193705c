import { provesPrinting } from "./printing-example.ts";

provesPrinting("publish");
