import type { Migration } from "./migrations.ts";

/**
 * Audit logs. `client_id` is '' for the platform, because NULLs are all different to a unique index. What tells a
 * repeat is kept as long as the audit log itself. `data` is the last column, so that looking at the others of a large
 * row does not touch its overflow pages. Nothing here changes an audit log, and the trigger holds everybody to it.
 */
export const migration0003: Migration = {
  number: 3,
  name: "audit-logs",
  sql: `
CREATE TABLE audit_logs (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  sender_id TEXT,
  client_id TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  principal_id TEXT,
  performed_at_ms INTEGER NOT NULL,
  message_group TEXT,
  created_at_ms INTEGER NOT NULL,
  data_bytes INTEGER NOT NULL,
  data TEXT
) STRICT;
CREATE UNIQUE INDEX audit_logs_by_id ON audit_logs (id);
CREATE UNIQUE INDEX audit_logs_by_sender_id ON audit_logs (client_id, sender_id) WHERE sender_id IS NOT NULL;
CREATE INDEX audit_logs_by_entity ON audit_logs (entity_id);
CREATE INDEX audit_logs_by_principal ON audit_logs (principal_id) WHERE principal_id IS NOT NULL;
CREATE INDEX audit_logs_by_client ON audit_logs (client_id);
CREATE INDEX audit_logs_by_age ON audit_logs (created_at_ms);
CREATE TRIGGER audit_logs_stay_as_they_are BEFORE UPDATE ON audit_logs
BEGIN
  SELECT raise(ABORT, 'audit logs are never changed');
END;
`,
};
