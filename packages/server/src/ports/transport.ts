/** One HTTP request to an address that was checked beforehand. */
export interface TransportRequest {
  /** Absolute; its host is what TLS verifies and what `host` says. */
  readonly url: string;
  /** The checked IP address that is dialled instead of resolving the host again. */
  readonly address: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** From connect to the last byte read. */
  readonly timeoutMs: number;
  readonly responseMaxBytes: number;
}

export type TransportResult =
  | { readonly kind: "response"; readonly status: number; readonly retryAfter: string | null; readonly body: string }
  | { readonly kind: "timeout" }
  | { readonly kind: "connectionFailed"; readonly detail: string }
  | { readonly kind: "tlsFailed"; readonly detail: string };

/** Sends POST requests. Never follows redirects, never uses a proxy unless configured, keeps connections alive. */
export interface Transport {
  post(request: TransportRequest, signal: AbortSignal): Promise<TransportResult>;
}

export type Resolution =
  | { readonly kind: "allowed"; readonly address: string }
  /** At least one address of the host may not be connected to. */
  | { readonly kind: "forbidden"; readonly address: string; readonly range: string }
  | { readonly kind: "unresolved"; readonly detail: string };

/** Resolves a target's host once and checks every address of it. */
export interface AddressGuard {
  check(url: string, signal: AbortSignal): Promise<Resolution>;
}
