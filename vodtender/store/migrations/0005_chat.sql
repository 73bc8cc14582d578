-- oldest program: 1
-- What was said, beside the videos. `vod_id` is vods.twitch_vod_id, or stands for it until there
-- is a VOD.

CREATE TABLE chat_messages (
    -- When Twitch says that it was sent, and how long after the VOD's beginning that is.
    "timestamp" timestamptz NOT NULL,
    relative_seconds double precision,
    -- Taken back; what was said stays.
    deleted_at timestamptz,
    bits integer,
    is_action boolean NOT NULL DEFAULT false,
    message_id text NOT NULL,
    vod_id text NOT NULL,
    channel text NOT NULL,
    username text NOT NULL,
    message text NOT NULL,
    kind text NOT NULL DEFAULT 'privmsg' CHECK (kind IN ('privmsg', 'usernotice')),
    user_id text,
    display_name text,
    color text,
    -- As Twitch writes them: `subscriber/12,bits/100`, `25:0-4,12-16/1902:6-10`.
    badges text,
    emotes text,
    reply_to text,
    -- Of a USERNOTICE: its kind (`sub`, `raid`, …), what the system says, and the parameters.
    notice text,
    system_message text,
    details jsonb,
    -- The VOD first, as in all indexes: what is written at a time lies together in them, however
    -- many messages there are. Ids alone would be scattered over an index of gigabytes.
    PRIMARY KEY (vod_id, message_id)
);
CREATE INDEX chat_messages_by_vod ON chat_messages (vod_id, "timestamp");
-- A ban takes back what one user said.
CREATE INDEX chat_messages_by_user ON chat_messages (vod_id, username);

-- One row per recording: what counts and moves is kept here, so that nobody counts messages.
CREATE TABLE chat_recordings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel text NOT NULL,
    vod_id text NOT NULL,
    stream_id text,
    mode text NOT NULL CHECK (mode IN ('auto', 'manual')),
    -- From where relative_seconds are counted.
    began_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Up to here everything was heard, but for the gaps.
    heard_until timestamptz,
    ended_at timestamptz,
    joined_at timestamptz,
    messages bigint NOT NULL DEFAULT 0,
    first_message_at timestamptz,
    last_message_at timestamptz,
    -- As the recorder saw itself last.
    worker_id text,
    connected_since timestamptz,
    identity text,
    problem text,
    reconnections bigint NOT NULL DEFAULT 0,
    messages_per_minute double precision,
    latency_seconds double precision,
    reported_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX chat_recordings_by_vod ON chat_recordings (vod_id);
CREATE INDEX chat_recordings_by_channel ON chat_recordings (channel, began_at);
CREATE INDEX chat_recordings_open ON chat_recordings (channel) WHERE ended_at IS NULL;
CREATE INDEX chat_recordings_not_joined ON chat_recordings (channel, began_at)
    WHERE mode = 'auto' AND joined_at IS NULL;

-- What moderators took back: one message, all of one user, or (neither) everything.
CREATE TABLE chat_marks (
    mark_id text PRIMARY KEY,
    recording_id bigint NOT NULL REFERENCES chat_recordings ON DELETE CASCADE,
    at timestamptz NOT NULL,
    target_id text,
    username text,
    ban_seconds integer
);
CREATE INDEX chat_marks_by_recording ON chat_marks (recording_id, at);

-- Times in which nobody listened; one that lasts has no end yet.
CREATE TABLE chat_gaps (
    recording_id bigint NOT NULL REFERENCES chat_recordings ON DELETE CASCADE,
    from_at timestamptz NOT NULL,
    to_at timestamptz,
    why text NOT NULL,
    PRIMARY KEY (recording_id, from_at)
);
