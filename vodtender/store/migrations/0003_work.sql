-- oldest program: 1
-- Who works on what, and what keeps them from working.

CREATE TABLE workers (
    worker_id text PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    directory_id text NOT NULL,
    directory text NOT NULL,
    -- Those whose VODs it looks for.
    channels text[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    draining boolean NOT NULL DEFAULT false,
    disk_free_bytes bigint,
    disk_total_bytes bigint,
    -- Why this worker starts no downloads at the moment.
    downloads_paused text
) WITH (fillfactor = 50);

-- What must be done by one worker at a time: discovery of a channel, pruning of a directory.
CREATE TABLE leases (
    name text PRIMARY KEY,
    worker_id text NOT NULL,
    claim bigint NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What moves now.
CREATE TABLE transfers (
    vod_id bigint PRIMARY KEY REFERENCES vods ON DELETE CASCADE,
    claim bigint NOT NULL,
    direction text NOT NULL CHECK (direction IN ('download', 'upload')),
    phase text NOT NULL,
    bytes_done bigint NOT NULL DEFAULT 0,
    bytes_total bigint,
    bytes_per_second double precision,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Distinct VODs that failed in each channel and direction since the last success there.
CREATE TABLE breaker_failures (
    channel text NOT NULL,
    vod_id bigint NOT NULL REFERENCES vods ON DELETE CASCADE,
    direction text NOT NULL CHECK (direction IN ('download', 'upload')),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, vod_id)
);

-- What `kv` does not say of a breaker that is not closed.
CREATE TABLE breakers (
    channel text PRIMARY KEY,
    direction text NOT NULL CHECK (direction IN ('download', 'upload')),
    probe_vod_id bigint,
    probe_claim bigint
);

-- Whoever closes a breaker, by command or by hand, also wipes what had opened it.
CREATE FUNCTION follow_breaker() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row kv := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF row.key = 'circuit_state' AND (TG_OP = 'DELETE' OR row.value NOT IN ('open', 'half-open')) THEN
        DELETE FROM breaker_failures WHERE channel = row.channel;
        DELETE FROM breakers WHERE channel = row.channel;
    ELSIF row.key = 'circuit_failures' AND (TG_OP = 'DELETE' OR row.value = '0') THEN
        DELETE FROM breaker_failures WHERE channel = row.channel;
    END IF;
    NOTIFY vodtender;
    RETURN NULL;
END $$;

-- Taken before any row is, by an operator's statement and by the workers (store/breaker.py), so
-- that they cannot wait for each other crosswise.
CREATE FUNCTION lock_breakers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('breakers'));
    RETURN NULL;
END $$;

CREATE TRIGGER lock_breakers BEFORE INSERT OR UPDATE OR DELETE ON kv
    FOR EACH STATEMENT EXECUTE FUNCTION lock_breakers();

CREATE TRIGGER follow_breaker AFTER INSERT OR UPDATE OF value OR DELETE ON kv
    FOR EACH ROW EXECUTE FUNCTION follow_breaker();

-- Where the walk through a channel's older VODs stands.
CREATE TABLE catalog_cursors (
    channel text NOT NULL,
    kind text NOT NULL,
    cursor text,
    -- How many VODs come before it, so that VOD_CATALOG_MAX is known to be reached.
    place integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, kind)
);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    before jsonb,
    after jsonb,
    reason text
);
CREATE INDEX audit_by_target ON audit (target, id);
