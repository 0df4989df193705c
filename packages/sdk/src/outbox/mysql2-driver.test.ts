import { mysql2Driver, type Mysql2Transaction } from "@flowcatalyst/sdk/outbox";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openMysql } from "./mysql-world.fixture.ts";

async function open(): Promise<DriverWorld<Mysql2Transaction>> {
  const place = await openMysql();
  const idle = await place.pool.getConnection();
  return {
    ...place,
    transact: async (work) => {
      const connection = await place.pool.getConnection();
      try {
        await connection.beginTransaction();
        await work(connection);
        await connection.commit();
      } catch (error) {
        await connection.rollback();
        throw error;
      } finally {
        connection.release();
      }
    },
    mistakes: [
      { name: "a pool", tx: place.pool },
      { name: "a connection without a transaction", tx: idle },
    ],
    close: async () => {
      idle.release();
      await place.close();
    },
  };
}

driverSuite({ name: "mysql2", driver: mysql2Driver(), skip: withoutUrl("FC_TEST_MARIADB_URL"), open });
