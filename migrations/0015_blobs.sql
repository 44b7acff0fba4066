-- The bytes of an organization's model files, each once, by digest. The object in the artifact store and the row go together
-- like this: an upload first commits a row with the present time in touched_at, then stores the object unless it is there,
-- then refers to the row from version_files. The sweep takes rows that nothing refers to and that nobody touched for longer
-- than an upload may take, and removes object and row while it holds the row's lock. An upload that waits for that lock finds
-- the row gone, inserts it anew, and stores the bytes again.
CREATE TABLE blobs (
    organization_id uuid NOT NULL,
    digest bytea NOT NULL,
    size_bytes bigint NOT NULL,
    created_at timestamptz NOT NULL,
    touched_at timestamptz NOT NULL,
    CONSTRAINT blobs_pkey PRIMARY KEY (organization_id, digest),
    CONSTRAINT blobs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id),
    CONSTRAINT blobs_digest_check CHECK (octet_length(digest) = 32),
    CONSTRAINT blobs_size_bytes_check CHECK (size_bytes >= 0)
);
CREATE INDEX blobs_touched_at_idx ON blobs (touched_at);

ALTER TABLE blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE blobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON blobs TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON blobs TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (touched_at) ON blobs TO berth_app;
-- Locking a row takes the right to change it.
GRANT SELECT, UPDATE (touched_at), DELETE ON blobs TO berth_system;

-- Which files make up a version. These rows are the references that are counted: while there is one, its foreign key
-- refuses to remove the blob.
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
        REFERENCES blobs (organization_id, digest),
    CONSTRAINT version_files_size_bytes_check CHECK (size_bytes >= 0)
);
CREATE INDEX version_files_organization_id_digest_idx ON version_files (organization_id, digest);

ALTER TABLE version_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE version_files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version_files TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON version_files FOR SELECT TO berth_system USING (true);
GRANT SELECT, INSERT, DELETE ON version_files TO berth_app;
GRANT SELECT ON version_files TO berth_system;
