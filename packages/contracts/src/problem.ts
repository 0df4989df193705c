import * as z from "zod";

/** One fault of a request: where it is, as one would write it in JavaScript (`events[3].type`), and what it is. */
export const faultSchema = z.object({ path: z.string(), message: z.string() }).meta({ id: "Fault" });

/** RFC 9457 problem details, plus a stable `code` and the same text under the names other builds used. */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: "Identifies the kind of problem: /errors/ and the code." }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().optional().meta({ description: "The path of the request." }),
    code: z.string().meta({ description: "From a closed set: docs/reference/errors.md." }),
    message: z.string().meta({ description: "The same as detail." }),
    error: z.string().meta({ description: "The same as code." }),
    errors: z.array(faultSchema).optional().meta({ description: "Each fault of a request that was not valid." }),
  })
  .meta({ id: "Problem" });

export type Fault = z.infer<typeof faultSchema>;
export type Problem = z.infer<typeof problemSchema>;
