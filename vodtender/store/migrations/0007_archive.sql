-- oldest program: 1
-- Where the files of VODs lie that were moved out of DATA_DIR.

CREATE TABLE archived_files (
    -- `vods.twitch_vod_id`. No reference: where a file lies stays true when the VOD's row is
    -- deleted, or replaced by an older one from a backup.
    vod_id text PRIMARY KEY,
    -- s3://bucket/key, or an absolute path.
    place text NOT NULL,
    -- The archive directory's own id, so that another disk at its path is noticed; null in S3.
    directory_id text,
    -- Null in a directory.
    storage_class text,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    crc32 bigint NOT NULL,
    -- What S3 says of the object beside its size; null in a directory.
    etag text,
    archived_at timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz NOT NULL DEFAULT now(),
    -- Why it does not count as a copy any more: lost, or not what was put there.
    problem text,
    -- When and how an object in a slow class was last asked for.
    asked_at timestamptz,
    asked_tier text
);
CREATE INDEX archived_files_by_check ON archived_files (checked_at);
CREATE INDEX archived_files_by_age ON archived_files (archived_at);
CREATE INDEX archived_files_amiss ON archived_files (vod_id) WHERE problem IS NOT NULL;

ALTER TABLE transfers DROP CONSTRAINT transfers_direction_check;
ALTER TABLE transfers ADD CONSTRAINT transfers_direction_check
    CHECK (direction IN ('download', 'upload', 'archive'));

-- Whether the VOD's file is to be had without Twitch: on a disk, or good and the same in the
-- archive.
CREATE FUNCTION has_file(v vods) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT v.downloaded_path IS NOT NULL OR EXISTS (
        SELECT FROM archived_files AS a
        WHERE a.vod_id = v.twitch_vod_id AND a.sha256 = v.file_sha256 AND a.problem IS NULL)
$$;

CREATE OR REPLACE FUNCTION next_stage(v vods) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN v.video_id IS NOT NULL THEN 'verifying'
        WHEN has_file(v) THEN 'downloaded'
        ELSE 'queued' END
$$;
