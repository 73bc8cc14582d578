-- oldest program: 1
-- The archive's catalog. Operators read and edit the columns of the first group with psql;
-- the pipeline sets those of the second and never the first, which follow by trigger (0002).

CREATE TABLE vods (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Checked, because it also names a directory.
    twitch_vod_id text NOT NULL UNIQUE
        CONSTRAINT twitch_vod_id_is_a_number CHECK (twitch_vod_id ~ '^[0-9]{1,20}$'),
    channel text NOT NULL DEFAULT '',
    kind text NOT NULL DEFAULT 'archive' CHECK (kind IN ('archive', 'highlight', 'upload')),
    title text NOT NULL DEFAULT '',
    description text,
    date timestamptz,
    duration_seconds integer,
    stream_id text,
    vanishes_at timestamptz,
    priority integer NOT NULL DEFAULT 0,
    skip_upload boolean NOT NULL DEFAULT false,
    allow_gaps boolean NOT NULL DEFAULT false,
    processed boolean NOT NULL DEFAULT false,
    download_state text NOT NULL DEFAULT 'pending',
    youtube_url text,
    processing_error text,
    downloaded_path text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    stage text NOT NULL DEFAULT 'queued' CHECK (stage IN (
        'live', 'queued', 'downloading', 'downloaded', 'uploading', 'finalizing', 'verifying',
        'published', 'failed', 'skipped')),
    problem text,
    problem_code text,
    video_id text,
    -- Whether YouTube is to be asked for the video before anything is fetched again.
    recheck boolean NOT NULL DEFAULT false,
    download_attempts integer NOT NULL DEFAULT 0,
    upload_attempts integer NOT NULL DEFAULT 0,
    -- How often YouTube was asked whether it has processed the video.
    polls integer NOT NULL DEFAULT 0,
    -- NULL: at once. Set only while waiting, so that the queue's index holds who may go now.
    next_try_at timestamptz,
    -- What it waits for until then; `run --drain` waits out only what is short.
    waiting_for text,
    missing_since timestamptz,
    uncertain_since timestamptz,
    cancel_reason text,

    worker_id text,
    claim bigint NOT NULL DEFAULT 0,
    -- Not indexed, so that a heartbeat touches no index.
    lease_expires_at timestamptz,

    directory_id text,
    file_size_bytes bigint,
    file_sha256 text,
    file_seconds double precision,
    muted_segments integer,
    gaps text[] NOT NULL DEFAULT '{}',
    downloaded_at timestamptz,
    file_removed_at timestamptz,
    published_at timestamptz,

    first_seen_at timestamptz NOT NULL DEFAULT now(),
    length_grew_at timestamptz,

    -- What `status` counts and `vods --state` filters by.
    state text GENERATED ALWAYS AS (CASE
        WHEN stage = 'queued' AND problem IS NOT NULL THEN 'retrying'
        WHEN stage IN ('downloaded', 'uploading') AND skip_upload THEN 'kept'
        WHEN stage = 'downloaded' AND problem IS NOT NULL THEN 'held'
        ELSE stage END) STORED,

    CONSTRAINT claims_end CHECK ((worker_id IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT somebody_downloads CHECK (stage <> 'downloading' OR worker_id IS NOT NULL)
) WITH (fillfactor = 90);

CREATE INDEX vods_to_download ON vods (channel, priority DESC, vanishes_at, id)
    WHERE stage = 'queued' AND worker_id IS NULL AND next_try_at IS NULL;
CREATE INDEX vods_to_upload ON vods (channel, priority DESC, date, id)
    WHERE stage IN ('downloaded', 'uploading')
        AND worker_id IS NULL AND next_try_at IS NULL AND NOT skip_upload;
CREATE INDEX vods_to_check ON vods (channel, priority DESC, date, id)
    WHERE stage IN ('finalizing', 'verifying') AND worker_id IS NULL AND next_try_at IS NULL;
CREATE INDEX vods_waiting ON vods (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX vods_in_work ON vods (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX vods_by_state ON vods (state, id);
CREATE INDEX vods_with_error ON vods (updated_at) WHERE processing_error IS NOT NULL;
CREATE INDEX vods_vanishing ON vods (vanishes_at)
    WHERE stage IN ('live', 'queued', 'downloading');
CREATE INDEX vods_by_creation ON vods (created_at);
CREATE INDEX vods_by_beginning ON vods (coalesce(date, created_at), id);
CREATE INDEX vods_by_stream ON vods (stream_id) WHERE stream_id IS NOT NULL;
CREATE INDEX vods_with_file ON vods (directory_id, downloaded_at)
    WHERE downloaded_path IS NOT NULL;

-- Every channel of which there is a VOD or which a daemon has been told to watch.
CREATE TABLE channels (
    channel text PRIMARY KEY,
    user_id text,
    listed_at timestamptz,
    catalogued_at timestamptz,
    problem text
);

-- What happened to each VOD, for `vods show`. Written by triggers.
CREATE TABLE vod_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vod_id bigint NOT NULL REFERENCES vods ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    from_stage text,
    to_stage text NOT NULL,
    detail text
);
CREATE INDEX vod_history_by_vod ON vod_history (vod_id, id);

-- How many VODs each channel has in each state, as sums of changes: one row per statement and
-- state, so that counting needs no scan and writers do not wait for each other. The daemon
-- adds the rows up now and then.
CREATE TABLE vod_counts (
    channel text NOT NULL,
    state text NOT NULL,
    n bigint NOT NULL
);

-- A command and the daemon say it; whoever types into psql is an operator.
CREATE FUNCTION who_acts() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('vodtender.actor', true), ''),
        CASE current_setting('application_name') WHEN 'vodtender' THEN 'vodtender' ELSE 'operator' END)
$$;

CREATE FUNCTION count_vods() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO channels SELECT DISTINCT channel FROM new_rows ON CONFLICT DO NOTHING;
        INSERT INTO vod_counts SELECT channel, state, count(*) FROM new_rows GROUP BY 1, 2;
        INSERT INTO vod_history (vod_id, actor, to_stage, detail)
            SELECT id, who_acts(), stage, coalesce(problem, 'entered') FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO vod_counts SELECT channel, state, -count(*) FROM old_rows GROUP BY 1, 2;
    ELSE
        INSERT INTO vod_counts
        SELECT channel, state, sum(n) FROM (
            SELECT channel, state, 1 AS n FROM new_rows
            UNION ALL
            SELECT channel, state, -1 FROM old_rows
        ) AS changes GROUP BY 1, 2 HAVING sum(n) <> 0;
        IF FOUND THEN
            INSERT INTO channels SELECT DISTINCT channel FROM new_rows ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER count_inserted AFTER INSERT ON vods REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_vods();
CREATE TRIGGER count_deleted AFTER DELETE ON vods REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_vods();
CREATE TRIGGER count_updated AFTER UPDATE ON vods
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_vods();

CREATE FUNCTION forget_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Locked, for a DELETE alone would miss the sum that somebody is just making.
    LOCK TABLE vod_counts IN EXCLUSIVE MODE;
    DELETE FROM vod_counts;
    RETURN NULL;
END $$;

CREATE TRIGGER count_truncated AFTER TRUNCATE ON vods
    FOR EACH STATEMENT EXECUTE FUNCTION forget_counts();

CREATE TABLE kv (
    channel text NOT NULL DEFAULT '',
    key text NOT NULL,
    value text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, key)
);
