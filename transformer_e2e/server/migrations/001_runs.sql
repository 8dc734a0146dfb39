-- Times are seconds since 1970 (REAL); JSON columns hold the text as the client sent it.

CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    entity TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    created_at REAL NOT NULL,
    UNIQUE (entity, name)
);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,              -- the short id in URLs
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,             -- pending running preempting preempted finished failed crashed killed
    config TEXT NOT NULL DEFAULT '{}',   -- {key: {"value": v}}
    summary TEXT NOT NULL DEFAULT '{}',
    sweep_id INTEGER,                -- sweeps.id
    agent_id INTEGER,                -- agents.id: whose child it is
    exit_code INTEGER,
    heartbeat_at REAL NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    stop_requested INTEGER NOT NULL DEFAULT 0,
    stop_reason TEXT,                -- pruned | cancelled | stopped
    preempting INTEGER NOT NULL DEFAULT 0,
    host TEXT,
    program TEXT,
    group_name TEXT,
    job_type TEXT,
    description TEXT,
    notes TEXT,
    tags TEXT NOT NULL DEFAULT '[]',
    commit_sha TEXT,
    repo TEXT,
    deleted_at REAL
);
CREATE UNIQUE INDEX runs_by_name ON runs (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX runs_by_sweep ON runs (sweep_id) WHERE sweep_id IS NOT NULL;
CREATE INDEX runs_by_state ON runs (state);

CREATE TABLE history (
    run_id INTEGER NOT NULL REFERENCES runs (id),
    line INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;

CREATE TABLE events (                -- system metrics
    run_id INTEGER NOT NULL REFERENCES runs (id),
    line INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;

CREATE TABLE console (
    run_id INTEGER NOT NULL REFERENCES runs (id),
    line INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;

CREATE TABLE run_files (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,              -- a path relative to the run, never leaving it
    digest TEXT,                     -- of the blob; NULL until its bytes are on disk
    size INTEGER NOT NULL DEFAULT 0,
    updated_at REAL NOT NULL,
    UNIQUE (run_id, name)
);
