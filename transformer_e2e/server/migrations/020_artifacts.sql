-- Times are seconds since 1970 (REAL); JSON columns hold the text as the client sent it.
-- Ids are never used twice (AUTOINCREMENT): clients cache artifacts by id.

CREATE TABLE artifact_types (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    description TEXT,
    created_at REAL NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE artifact_collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    kind TEXT NOT NULL CHECK (kind IN ('ArtifactSequence', 'ArtifactPortfolio')),
    name TEXT NOT NULL,
    type_id INTEGER NOT NULL REFERENCES artifact_types (id),
    description TEXT,
    next_version INTEGER NOT NULL DEFAULT 0,  -- a deleted version's number is not given again
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sequence_id INTEGER NOT NULL REFERENCES artifact_collections (id),
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'COMMITTED', 'DELETED')),
    digest TEXT NOT NULL,
    description TEXT,
    metadata TEXT,
    ttl_seconds INTEGER,                      -- kept for the client; nothing is deleted by age
    history_step INTEGER,
    distributed_id TEXT,
    run_id INTEGER REFERENCES runs (id),      -- which run made it
    wanted_aliases TEXT NOT NULL DEFAULT '[]',  -- to be given at commit
    version_index INTEGER,                    -- set at commit, with all below
    size INTEGER NOT NULL DEFAULT 0,
    file_count INTEGER NOT NULL DEFAULT 0,
    manifest_md5 TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX artifacts_by_digest ON artifacts (sequence_id, digest);

CREATE TABLE artifact_clients (               -- a client's own id for what it logged, also when deduplicated
    client_id TEXT PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id)
) WITHOUT ROWID;

CREATE TABLE artifact_memberships (           -- the versions of a collection
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES artifact_collections (id),
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id),
    version_index INTEGER NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (collection_id, version_index),
    UNIQUE (collection_id, artifact_id)
);
CREATE INDEX artifact_memberships_by_artifact ON artifact_memberships (artifact_id);

CREATE TABLE artifact_aliases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES artifact_collections (id),
    membership_id INTEGER NOT NULL REFERENCES artifact_memberships (id) ON DELETE CASCADE,
    alias TEXT NOT NULL,
    UNIQUE (collection_id, alias)
);
CREATE INDEX artifact_aliases_by_membership ON artifact_aliases (membership_id);

CREATE TABLE artifact_tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    artifact_id INTEGER REFERENCES artifacts (id),
    collection_id INTEGER REFERENCES artifact_collections (id),
    name TEXT NOT NULL,
    CHECK ((artifact_id IS NULL) != (collection_id IS NULL)),
    UNIQUE (artifact_id, name),
    UNIQUE (collection_id, name)
);

CREATE TABLE artifact_manifests (             -- what clients say that an artifact holds, until its commit
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id),
    kind TEXT NOT NULL,                       -- FULL, or INCREMENTAL or PATCH: added to another
    base_artifact_id INTEGER,
    md5 TEXT                                  -- NULL: announced, its bytes are not
);
CREATE INDEX artifact_manifests_by_artifact ON artifact_manifests (artifact_id);

CREATE TABLE artifact_files (                 -- the committed manifest's entries
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,                     -- as in the manifest: base64 of the MD5, anything for a reference
    md5 TEXT,                                 -- of the blob; NULL for a reference
    ref TEXT,
    size INTEGER NOT NULL,
    PRIMARY KEY (artifact_id, name)
) WITHOUT ROWID;

CREATE TABLE artifact_blobs (                 -- what must stay stored, from before its upload
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id),
    md5 TEXT NOT NULL,
    PRIMARY KEY (artifact_id, md5)
) WITHOUT ROWID;
CREATE INDEX artifact_blobs_by_md5 ON artifact_blobs (md5);
CREATE INDEX run_files_by_digest ON run_files (digest);

CREATE TABLE artifact_runs (                  -- lineage
    run_id INTEGER NOT NULL REFERENCES runs (id),
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id),
    role TEXT NOT NULL CHECK (role IN ('input', 'output')),
    created_at REAL NOT NULL,
    PRIMARY KEY (run_id, artifact_id, role)
) WITHOUT ROWID;
CREATE INDEX artifact_runs_by_artifact ON artifact_runs (artifact_id, role);
