CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

-- Jobs as their source showed them. Written before the claim, so that a claim whose answer was lost is known.
CREATE TABLE inbox (
    source TEXT NOT NULL, job TEXT NOT NULL, service TEXT NOT NULL, action TEXT NOT NULL,
    state TEXT NOT NULL,                    -- seen, claimed, refused, lost, settled
    seen_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL,
    PRIMARY KEY (source, job)
);

CREATE TABLE services (
    source TEXT NOT NULL, service TEXT NOT NULL, cluster TEXT NOT NULL, display_name TEXT NOT NULL,
    phase TEXT NOT NULL,                    -- creating, ready, failed, deleting, gone
    generation BIGINT NOT NULL,
    wanted TEXT,                            -- the description last asked for, with the names of its providers
    observed TEXT,                          -- the status record last reported
    created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL,
    PRIMARY KEY (source, service)
);

CREATE TABLE intents (
    id BIGINT PRIMARY KEY, source TEXT NOT NULL, service TEXT NOT NULL, generation BIGINT NOT NULL,
    action TEXT NOT NULL, wanted TEXT, job TEXT,
    digests TEXT NOT NULL,                  -- configured name of each plugin to the digest of its component
    state TEXT NOT NULL,                    -- running, undoing, done, failed, superseded
    fault TEXT, began_ms BIGINT NOT NULL, ended_ms BIGINT
);
CREATE INDEX intents_by_service ON intents (source, service, state);
CREATE INDEX intents_by_state ON intents (state);

CREATE TABLE steps (
    intent BIGINT NOT NULL, step TEXT NOT NULL, attempt BIGINT NOT NULL,
    started_ms BIGINT NOT NULL, ended_ms BIGINT,
    outcome TEXT,                           -- done, failed, cancelled; NULL while it runs or after a crash
    output TEXT, fault TEXT,
    PRIMARY KEY (intent, step, attempt)
);

CREATE TABLE ledger (
    id BIGINT PRIMARY KEY, source TEXT NOT NULL, service TEXT NOT NULL,   -- both empty: for no one service
    plugin TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL,
    state TEXT NOT NULL,                    -- intended, live, gone
    external_id TEXT, note BYTEA, note_digest TEXT,
    answer_request TEXT, answer_status BIGINT, answer_body BYTEA, answer_ms BIGINT,
    created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL,
    UNIQUE (source, service, plugin, kind, name)
);
CREATE INDEX ledger_by_state ON ledger (state);

-- Requests that were sent and whose answers are not known. Two may be under way for one row.
CREATE TABLE doubts (
    entry BIGINT NOT NULL, request TEXT NOT NULL, sent_ms BIGINT NOT NULL,
    PRIMARY KEY (entry, request)
);

CREATE TABLE reservations (
    range_name TEXT NOT NULL, value TEXT NOT NULL,
    entry BIGINT,                           -- NULL: burnt, somebody else uses the value
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (range_name, value)
);
CREATE INDEX reservations_by_entry ON reservations (entry);

CREATE TABLE refs (
    reference TEXT PRIMARY KEY, plugin TEXT NOT NULL, source TEXT NOT NULL, service TEXT NOT NULL,
    locator TEXT NOT NULL, created_ms BIGINT NOT NULL
);

-- Results that their source must hear of, kept until it has answered.
CREATE TABLE outbox (
    source TEXT NOT NULL, job TEXT NOT NULL, service TEXT NOT NULL, settlement TEXT NOT NULL,
    state TEXT NOT NULL,                    -- waiting, accepted, late
    attempts BIGINT NOT NULL, next_ms BIGINT NOT NULL, fault TEXT,
    created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL,
    PRIMARY KEY (source, job)
);
CREATE INDEX outbox_by_state ON outbox (state, source);

-- Append-only; each row's hash covers the one before it.
CREATE TABLE audit (
    id BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL, source TEXT NOT NULL, service TEXT NOT NULL,
    actor TEXT NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL
);
