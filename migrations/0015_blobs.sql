-- The bytes of an organization's model files, each once, by digest. A blob lives through
--   reserved  somebody is putting the bytes into the artifact store, until reserved_until
--   stored    the bytes are there
--   deleting  nobody refers to it and the sweep is removing the bytes; then the row goes
-- so that a sweep never removes bytes that an upload at the same time found to be there already.
CREATE TABLE blobs (
    organization_id uuid NOT NULL,
    digest bytea NOT NULL,
    size_bytes bigint NOT NULL,
    state text NOT NULL,
    reference_count bigint NOT NULL DEFAULT 0,
    reserved_until timestamptz,
    created_at timestamptz NOT NULL,
    unreferenced_at timestamptz,
    CONSTRAINT blobs_pkey PRIMARY KEY (organization_id, digest),
    CONSTRAINT blobs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id),
    CONSTRAINT blobs_digest_check CHECK (octet_length(digest) = 32),
    CONSTRAINT blobs_size_bytes_check CHECK (size_bytes >= 0),
    CONSTRAINT blobs_state_check CHECK (state IN ('reserved', 'stored', 'deleting')),
    CONSTRAINT blobs_reference_count_check CHECK (reference_count >= 0 AND (reference_count = 0 OR state = 'stored')),
    CONSTRAINT blobs_unreferenced_check CHECK ((reference_count = 0) = (unreferenced_at IS NOT NULL))
);
-- For the sweep.
CREATE INDEX blobs_unreferenced_at_idx ON blobs (unreferenced_at) WHERE reference_count = 0;

ALTER TABLE blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE blobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON blobs TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON blobs TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (state, reference_count, reserved_until, unreferenced_at) ON blobs TO berth_app;
GRANT SELECT, UPDATE (state), DELETE ON blobs TO berth_system;

-- Which files make up a version. The reference to the blob refuses to remove bytes that a version needs, should the count
-- ever be wrong.
CREATE TABLE version_files (
    version_id uuid NOT NULL,
    path text NOT NULL,
    organization_id uuid NOT NULL,
    digest bytea NOT NULL,
    size_bytes bigint NOT NULL,
    CONSTRAINT version_files_pkey PRIMARY KEY (version_id, path),
    CONSTRAINT version_files_organization_id_version_id_fkey FOREIGN KEY (organization_id, version_id)
        REFERENCES model_versions (organization_id, version_id),
    CONSTRAINT version_files_organization_id_digest_fkey FOREIGN KEY (organization_id, digest)
        REFERENCES blobs (organization_id, digest)
);
CREATE INDEX version_files_organization_id_digest_idx ON version_files (organization_id, digest);

ALTER TABLE version_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE version_files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version_files TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON version_files FOR SELECT TO berth_system USING (true);
GRANT SELECT, INSERT, DELETE ON version_files TO berth_app;
GRANT SELECT ON version_files TO berth_system;
