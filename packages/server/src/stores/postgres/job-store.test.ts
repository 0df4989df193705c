import { describeAttemptSinkConformance } from "../../ports/attempt-sink.conformance.ts";
import { describeDeliveryReaderConformance } from "../../ports/delivery-reader.conformance.ts";
import { describeHousekeepingConformance } from "../../ports/housekeeping.conformance.ts";
import { describeJobAppenderConformance } from "../../ports/job-appender.conformance.ts";
import { describeJobClaimsConformance } from "../../ports/job-claims.conformance.ts";
import { describeJobModelConformance } from "../../ports/job-model.conformance.ts";
import { describeJobStoreConformance } from "../../ports/job-store.conformance.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { openTestJobs } from "./job-store.fixture.ts";

describeWithPostgres("jobs", () => {
  describeJobAppenderConformance("postgres", openTestJobs);
  describeJobClaimsConformance("postgres", openTestJobs);
  describeAttemptSinkConformance("postgres", openTestJobs);
  describeDeliveryReaderConformance("postgres", openTestJobs);
  describeJobStoreConformance("postgres", openTestJobs);
  describeHousekeepingConformance("postgres", openTestJobs);
  describeJobModelConformance("postgres", openTestJobs);
});
