import { testPlatformJobs } from "./queue-jobs-suite.ts";

testPlatformJobs(["sqlite", "postgres"]);
