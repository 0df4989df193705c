import type { Migration } from "../../postgres/migrations.ts";

/**
 * Audit logs. `client_id` is '' for the platform, because NULLs are all different to a unique index. What tells a
 * repeat is kept as long as the audit log itself, whenever it was made, so the table is not partitioned. `data` is the
 * last column; large ones are stored beside the row. Nothing here changes an audit log, and the trigger holds everybody
 * to it.
 *
 * Positions are taken from the sequence before the rows are inserted, because rows go in sorted by their keys.
 */
export const migration0005: Migration = {
  number: 5,
  name: "audit-logs",
  sql: `
CREATE SEQUENCE audit_log_positions;
CREATE TABLE audit_logs (
  position bigint PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  sender_id text COLLATE "C",
  client_id text COLLATE "C" NOT NULL,
  entity_type text NOT NULL,
  entity_id text COLLATE "C" NOT NULL,
  operation text NOT NULL,
  principal_id text COLLATE "C",
  performed_at_ms bigint NOT NULL,
  message_group text,
  created_at_ms bigint NOT NULL,
  data_bytes integer NOT NULL,
  data text
);
CREATE UNIQUE INDEX audit_logs_by_sender_id ON audit_logs (client_id, sender_id) WHERE sender_id IS NOT NULL;
CREATE INDEX audit_logs_by_entity ON audit_logs (entity_id, position);
CREATE INDEX audit_logs_by_principal ON audit_logs (principal_id, position) WHERE principal_id IS NOT NULL;
CREATE INDEX audit_logs_by_client ON audit_logs (client_id, position);
CREATE INDEX audit_logs_by_age ON audit_logs (created_at_ms);
CREATE FUNCTION audit_logs_stay_as_they_are() RETURNS trigger LANGUAGE plpgsql
  AS 'BEGIN RAISE EXCEPTION ''audit logs are never changed''; END';
CREATE TRIGGER audit_logs_stay_as_they_are BEFORE UPDATE ON audit_logs
  FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_stay_as_they_are();
`,
};
