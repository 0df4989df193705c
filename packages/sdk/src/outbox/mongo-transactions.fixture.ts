import { MongoClient } from "mongodb";

/**
 * Why tests with transactions cannot run; false if they can. Servers that only speak the protocol have no sessions, and
 * one without a replica set has no transactions.
 */
export async function withoutTransactions(): Promise<string | false> {
  const url = process.env["FC_TEST_MONGO_URL"];
  if (url === undefined || url === "") return "no FC_TEST_MONGO_URL";
  const client = new MongoClient(url);
  try {
    // Some of them know this command by its older name only.
    const hello = await client.db().command({ isMaster: 1 });
    const hasSessions = (hello["logicalSessionTimeoutMinutes"] ?? null) !== null;
    const isCluster = hello["setName"] !== undefined || hello["msg"] === "isdbgrid";
    return hasSessions && isCluster ? false : "the server of FC_TEST_MONGO_URL has no transactions";
  } finally {
    await client.close();
  }
}
