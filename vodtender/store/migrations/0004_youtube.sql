-- oldest program: 1
-- Accounts, upload sessions, and what has been spent of the day's quota.

CREATE TABLE oauth_tokens (
    provider text NOT NULL CHECK (provider IN ('twitch', 'youtube')),
    account text NOT NULL DEFAULT 'default',
    -- Sealed texts (see clients/token_cipher.py); the rest is in the clear.
    access_token text NOT NULL,
    refresh_token text,
    client_secret text,
    client_id text,
    expires_at timestamptz,
    scopes text NOT NULL DEFAULT '',
    owner_id text,
    owner_name text,
    -- Why the service no longer accepts it; a person must log in again.
    problem text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, account)
);

-- One per VOD and part. The session is stored before its first byte is sent.
CREATE TABLE uploads (
    vod_id bigint NOT NULL REFERENCES vods ON DELETE CASCADE,
    part integer NOT NULL,
    parts integer NOT NULL,
    account text NOT NULL,
    project text NOT NULL,
    marker text NOT NULL,
    session_uri text,
    size_bytes bigint NOT NULL,
    sha256 text,
    sent_bytes bigint NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL,
    video_id text,
    PRIMARY KEY (vod_id, part)
);

-- Every upload that was begun. Later edits of a VOD do not change what was spent.
CREATE TABLE upload_attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    quota_day date NOT NULL,
    project text NOT NULL,
    account text NOT NULL,
    vod_id text NOT NULL,
    part integer NOT NULL,
    backfill boolean NOT NULL
);
CREATE INDEX upload_attempts_by_day ON upload_attempts (project, quota_day);

CREATE TABLE quota_usage (
    project text NOT NULL,
    quota_day date NOT NULL,
    units bigint NOT NULL,
    PRIMARY KEY (project, quota_day)
);

-- Until when an account's uploads wait.
CREATE TABLE upload_holds (
    account text PRIMARY KEY,
    held_until timestamptz NOT NULL,
    reason text NOT NULL,
    code text NOT NULL
);
