-- An operator who disables somebody takes back what that person has handed out: invitations that are still open, in every
-- organization.
GRANT UPDATE (revoked_at) ON invitations TO berth_system;
CREATE INDEX invitations_invited_by_idx ON invitations (invited_by) WHERE accepted_at IS NULL AND revoked_at IS NULL;
