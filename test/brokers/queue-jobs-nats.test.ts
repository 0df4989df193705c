import { testPlatformJobs } from "./queue-jobs-suite.ts";

testPlatformJobs(["nats"]);
