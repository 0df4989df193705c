import { testPlatformJobs } from "./queue-jobs-suite.ts";

testPlatformJobs(["activemq", "rabbitmq"]);
