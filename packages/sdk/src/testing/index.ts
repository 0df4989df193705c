/** For tests of applications: signed requests, receivers and clients in memory. */
export {};
