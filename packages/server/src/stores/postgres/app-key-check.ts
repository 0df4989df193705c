import { CodedError, isCodedError, type SecretBox } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";

/**
 * That all processes of a database have the same application key is found out when they start, and not when a webhook
 * cannot be signed: the first process leaves a known text in the database, sealed, and every other one opens it.
 *
 * While a key is rotated, processes have both, the new one first; the first of those seals the text again. From then on
 * one that has only the old key is refused, rightly: it could not open what the others seal.
 */
const factName = "app-key";
const knownText = "flowcatalyst";

const readFact = statement<{ value: string }, [name: string]>("SELECT value FROM installation_facts WHERE name = $1");
const addFact = statement<never, [name: string, value: string]>(
  "INSERT INTO installation_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
);
const changeFact = statement<never, [name: string, value: string, before: string]>(
  "UPDATE installation_facts SET value = $2 WHERE name = $1 AND value = $3",
);

/** Throws APP_KEY_DIFFERS. */
export async function checkAppKey(database: PostgresDatabase, secretBox: SecretBox): Promise<void> {
  const sealed = secretBox.seal(knownText, factName);
  await database.run(addFact, [factName, sealed]);
  const found = await database.one(readFact, [factName]);
  const stored = found?.value ?? sealed;
  if (!opens(secretBox, stored)) throw differs(database.place);
  if (secretBox.needsReseal(stored)) await database.run(changeFact, [factName, sealed, stored]);
}

function opens(secretBox: SecretBox, sealed: string): boolean {
  try {
    return secretBox.open(sealed, factName) === knownText;
  } catch (error) {
    if (isCodedError(error, "SECRET_UNREADABLE")) return false;
    throw error;
  }
}

function differs(place: string): CodedError {
  return new CodedError("APP_KEY_DIFFERS", {
    message: `FC_APP_KEY is not the key that the secrets in ${place} are sealed with`,
  });
}
