-- oldest program: 1
-- Backups that were made or failed, and drills: what status, metrics and alerts judge by.

CREATE TABLE backup_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    host text NOT NULL,
    -- The dump, when there is a good one on that host; then also its facts.
    name text,
    size_bytes bigint,
    -- Where its proven copy is, if one was wanted and made.
    s3_url text,
    -- Why it is not all that was wanted; null when it is.
    problem text
);
CREATE INDEX backup_runs_by_end ON backup_runs (ended_at DESC);

CREATE TABLE restore_drills (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    host text NOT NULL,
    name text,
    seconds double precision,
    problem text
);
CREATE INDEX restore_drills_by_end ON restore_drills (ended_at DESC);
