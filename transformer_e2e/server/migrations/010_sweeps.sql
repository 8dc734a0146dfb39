CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,              -- the short id in URLs
    display_name TEXT,
    description TEXT,
    config TEXT NOT NULL,            -- YAML as the client sent it
    state TEXT NOT NULL,             -- PENDING RUNNING PAUSED FINISHED CANCELED
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    heartbeat_at REAL,               -- of any of its agents
    UNIQUE (project_id, name)
);

CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    sweep_id INTEGER NOT NULL REFERENCES sweeps (id),
    host TEXT NOT NULL,
    created_at REAL NOT NULL,
    heartbeat_at REAL NOT NULL
);
CREATE INDEX agents_by_sweep ON agents (sweep_id);

-- The ledger: what was ever issued, in order. What a row promises (number, run, parameters) never changes and
-- no row is ever removed; the columns after `issued_at` say how far the newest attempt at it has come.
CREATE TABLE issued (
    sweep_id INTEGER NOT NULL REFERENCES sweeps (id),
    number INTEGER NOT NULL,         -- 0, 1, 2 ... within the sweep
    run_id INTEGER NOT NULL UNIQUE REFERENCES runs (id),
    run_name TEXT NOT NULL,
    params TEXT NOT NULL,            -- JSON object
    issued_at REAL NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,  -- processes that were asked to work on it, one after another
    agent_id INTEGER NOT NULL REFERENCES agents (id),  -- who was asked
    sent_at REAL NOT NULL,           -- when the command was last put into an answer
    sends INTEGER NOT NULL DEFAULT 1,    -- how often, in this attempt
    seen_at REAL,                    -- first heartbeat that named the run as alive; NULL: not yet
    lease_until REAL,                -- until when the attempt may be silent; NULL: no lease
    UNIQUE (sweep_id, number)
);
CREATE INDEX issued_by_agent ON issued (agent_id);

CREATE TRIGGER issued_rows_stay BEFORE DELETE ON issued
BEGIN
    SELECT RAISE (ABORT, 'the ledger of issued trials is append-only');
END;
CREATE TRIGGER issued_promises_stay BEFORE UPDATE OF sweep_id, number, run_id, run_name, params, issued_at ON issued
BEGIN
    SELECT RAISE (ABORT, 'the ledger of issued trials is append-only');
END;
