import { provesPrinting } from "./printing-example.ts";

provesPrinting("typed-events");
