import { testPlatformJobs } from "./queue-jobs-suite.ts";

testPlatformJobs(["sqs-fifo", "sqs-standard"]);
