/** What any process of ours needs, without a word of the domain. The list is closed: an addition needs two users. */

export { placeOfAddress, withoutPasswords } from "./address.ts";
export { APP_KEY_FILE, loadOrCreateAppKey } from "./app-key-file.ts";
export { backoffMs, type BackoffPolicy, type Jitter } from "./backoff.ts";
export { FakeClock, isoTime, systemClock, type Clock } from "./clock.ts";
export {
  CodedError,
  describeError,
  isCodedError,
  wrapUnknown,
  type CodedErrorOptions,
  type FieldFault,
} from "./coded-error.ts";
export { configInvalid, describeFault, type ConfigFault } from "./config/config-fault.ts";
export { readDocumentFile } from "./config/config-file.ts";
export { renderConfigReference, type NamedSchema } from "./config/config-reference.ts";
export {
  defineConfig,
  flagOf,
  knownKeysOf,
  type ConfigOf,
  type ConfigRule,
  type ConfigSchema,
  type KeySchema,
  type RuleBreach,
  type Settings,
} from "./config/config-schema.ts";
export type { ConfigFacts } from "./config/facts.ts";
export {
  describeConfig,
  loadConfig,
  type ConfigEntry,
  type LoadOptions,
  type LoadResult,
} from "./config/load-config.ts";
export { nearestName } from "./config/nearest-name.ts";
export {
  bool,
  choice,
  int,
  list,
  port,
  text,
  url,
  urls,
  type Alias,
  type DefaultContext,
  type Setting,
  type SettingSpec,
} from "./config/setting.ts";
export { deferred, type Deferred } from "./deferred.ts";
export {
  errorCodes,
  exitCodeFor,
  exitCodeForStatus,
  exitCodes,
  isErrorCode,
  type ErrorCode,
  type ErrorCodeEntry,
  type ErrorScope,
} from "./error-codes.ts";
export {
  HealthRegistry,
  type HealthCheck,
  type HealthData,
  type HealthKind,
  type HealthProbe,
  type HealthReport,
  type HealthResult,
  type HealthStatus,
} from "./health.ts";
export {
  createLogger,
  logFormats,
  logLevels,
  silentLogger,
  type LogDestination,
  type LogFields,
  type LogFormat,
  type Logger,
  type LoggerOptions,
  type LogLevel,
} from "./logger.ts";
export {
  createMetrics,
  type BoundCounter,
  type BoundGauge,
  type BoundHistogram,
  type Counter,
  type Gauge,
  type Histogram,
  type HistogramOptions,
  type Metrics,
  type MetricsOptions,
} from "./metrics.ts";
export { PROBLEM_CONTENT_TYPE, toProblem, type Problem } from "./problem.ts";
export { seededRandom, systemRandom, type Random } from "./random.ts";
export { REDACTED, redactText } from "./redaction.ts";
export { createSecretBox, newAppKey, type SecretBox } from "./secret-box.ts";
export { supervise, type Service, type StopReport, type SuperviseOptions, type Supervisor } from "./supervisor.ts";
export { createTsidGenerator, isTsid, lowestTsidAt, tsidTimeMs, type TsidGenerator, type TsidOptions } from "./tsid.ts";
export { createWakeUp, type WakeUp } from "./wake-up.ts";
