/** The command line as a library, for tests: the process around it is main.ts. */
export { examplesOf, type Environment } from "./context.ts";
export { exitCodeLines } from "./exit-codes.ts";
export { createProgram, runCommandLine } from "./program.ts";
