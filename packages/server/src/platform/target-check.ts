import type { EntityWarning } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import { isReservedHeader } from "../domain/delivery-request.ts";
import { readTargetUrl } from "../domain/target-url.ts";
import { validationError, type TaggedFault } from "../http/validation.ts";
import type { AddressGuard } from "../ports/transport.ts";

/** How long the look at a target's address may take before it counts as not resolving. */
const resolveTimeoutMs = 3_000;

/**
 * Looks at where a delivery would go, when it is saved; it is looked at again at each send. A forbidden address is
 * refused (TARGET_FORBIDDEN); one that does not resolve now may later, so it is saved, with a warning.
 */
export async function checkTarget(
  guard: AddressGuard,
  targetUrl: string,
  signal: AbortSignal = resolveDeadline(),
): Promise<readonly EntityWarning[]> {
  requireHttpUrl(targetUrl);
  const resolution = await guard.check(targetUrl, signal).catch((error: unknown) => {
    // The guard was told to stop: that the name takes so long is what the caller should know.
    if (signal.aborted) return { kind: "unresolved", detail: "no answer in time" } as const;
    throw error;
  });
  switch (resolution.kind) {
    case "allowed":
      return [];
    case "forbidden": {
      const message = `points to ${resolution.address}, which is ${resolution.range} and not allowed`;
      throw new CodedError("TARGET_FORBIDDEN", {
        message: `targetUrl ${message}.`,
        errors: [{ path: "targetUrl", message }],
      });
    }
    case "unresolved": {
      const message = `The host of targetUrl does not resolve now (${resolution.detail}); deliveries will be tried.`;
      return [{ code: "TARGET_UNRESOLVED", message }];
    }
  }
}

/** One for all targets of a request, so that many names nobody answers for cost no more time than one. */
export function resolveDeadline(): AbortSignal {
  return AbortSignal.timeout(resolveTimeoutMs);
}

function requireHttpUrl(text: string): void {
  const reading = readTargetUrl(text);
  if (reading.kind === "invalid") throw validationError([{ path: "targetUrl", message: reading.detail }]);
}

const headerNamePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}$/;
const headerValuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Headers of the subscriber's own. They cannot override ours, nor those that frame the request. */
export function headerFaults(headers: Readonly<Record<string, string>>): readonly TaggedFault[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    const path = `headers[${JSON.stringify(name)}]`;
    if (!headerNamePattern.test(name)) return [{ path, message: "is not a header name" }];
    if (isReservedHeader(name)) return [{ path, message: "is set by FlowCatalyst itself" }];
    if (!headerValuePattern.test(value)) return [{ path, message: "has characters a header cannot carry" }];
    return [];
  });
}
