"""Every setting, declared once: name, form, default, meaning.

An attribute is the setting's name in small letters. Durations are `timedelta`, sizes `int`
bytes, lists tuples, and what is unset is None. How they are found is `load`'s business, which
ones contradict each other that of `checks`.
"""

# The calls in the class body return fields, which is what RUF009 wants and cannot see.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from vodtender.config import forms, service_forms
from vodtender.config.declaration import Declared, Group, declared
from vodtender.config.forms import BOOLEAN, PATH, TEXT, Address, listing
from vodtender.config.quantities import RATE, duration, integer, limit, size
from vodtender.config.service_forms import REDIRECT, SCOPES, TOKEN
from vodtender.model.archive import TIERS
from vodtender.model.s3_location import S3Location
from vodtender.model.video_metadata import PLACEHOLDERS, Presentation

MOMENT = duration(minimum=timedelta(milliseconds=1))
LENGTH = duration()
COUNT = integer()
ONE_OR_MORE = integer(minimum=1)

DEFAULT_BACKUP_DIRECTORY = "backups"
DEFAULT_BACKUP_SCHEDULE = "0 2 * * *"

DEFAULT_ACCOUNT = "default"
"""The YouTube account of a channel that YT_CHANNEL_ACCOUNTS does not name."""

_looks = Presentation()

_twitch = Group("Twitch")
_discovery = Group("Discovery")
_download = Group("Downloading")
_chat = Group("Chat")
_breaker = Group("Circuit breaker")
_youtube = Group("YouTube")
_video = Group("How videos are presented")
_upload = Group("Uploading")
_files = Group("Files after their upload")
_database = Group("Database")
_backup = Group("Backups of the database")
_archive = Group("Archive of VOD files")
_aws = Group("S3")
_daemon = Group("Daemon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator has decided. `Settings()` is what counts when nothing is set."""

    twitch_channel: str | None = _twitch.optional(
        service_forms.CHANNEL, "the channel to keep", example="somebody"
    )
    twitch_channels: tuple[str, ...] = _twitch.setting(
        service_forms.CHANNELS, "", "more channels, with commas"
    )
    twitch_client_id: str | None = _twitch.optional(
        TOKEN, "application at dev.twitch.tv; without it yt-dlp lists the VODs", example="abc123"
    )
    twitch_client_secret: str | None = _twitch.optional(
        TOKEN, "secret of the same application", example="", secret=True
    )
    twitch_redirect_uri: str | None = _twitch.optional(
        REDIRECT,
        "redirect address, as registered with the application",
        example="http://localhost:8085/",
    )
    twitch_scopes: tuple[str, ...] = _twitch.setting(
        SCOPES, "chat:read chat:edit", "what auth login twitch asks for"
    )
    twitch_vod_retention_days: int = _twitch.setting(
        ONE_OR_MORE, "14", "days after which Twitch deletes a VOD: 7, 14 or 60 by account"
    )
    twitch_vod_types: tuple[str, ...] = _twitch.setting(
        listing(forms.choice("archive", "highlight", "upload")),
        "archive",
        "what is kept: archive, highlight, upload",
    )

    vod_process_interval: timedelta = _discovery.setting(
        MOMENT, "1m", "pause between two looks at a channel; unset and without an application, 5m"
    )
    vod_catalog_backfill_interval: timedelta = _discovery.setting(
        MOMENT, "6h", "pause between two looks at a channel's whole catalog"
    )
    vod_catalog_max: int = _discovery.setting(
        COUNT, "0", "most VODs to take from a catalog; 0 is all"
    )
    vod_catalog_max_age_days: int = _discovery.setting(
        COUNT, "0", "oldest VODs to take from a catalog; 0 is any age"
    )

    chat_auto_start: bool = _chat.setting(
        BOOLEAN, "0", "record the chat of every stream of the channels"
    )
    chat_auto_poll_interval: timedelta = _chat.setting(
        MOMENT, "30s", "pause between two looks whether a channel is live"
    )
    chat_offline_after: timedelta = _chat.setting(
        LENGTH, "2m", "a stream that is back within this time has not ended"
    )
    vod_reconcile_delay: timedelta = _chat.setting(
        LENGTH, "1m", "how long after a stream's end its chat is joined to its VOD, at the earliest"
    )
    twitch_bot_username: str | None = _chat.optional(
        service_forms.CHANNEL,
        "who reads the chat, with TWITCH_OAUTH_TOKEN; reading needs nobody",
        example="somebody_bot",
    )
    twitch_oauth_token: str | None = _chat.optional(
        service_forms.CHAT_TOKEN,
        "that user's token; when unset, the one of auth login twitch if there is one",
        example="",
        secret=True,
    )
    twitch_irc_url: str = _chat.setting(
        service_forms.CHAT_SERVER,
        "ircs://irc.chat.twitch.tv:6697",
        "the chat server; irc:// is without TLS",
    )
    twitch_vod_id: str | None = _chat.optional(
        service_forms.VOD,
        "without CHAT_AUTO_START: the VOD that the chat of TWITCH_CHANNEL is recorded for, from"
        " start to stop",
        example="2300000001",
    )
    twitch_vod_start: datetime | None = _chat.optional(
        forms.TIME, "when that VOD begins", example="2026-11-23T18:00:00Z"
    )

    data_dir: Path = _download.setting(
        PATH, "data", "where videos are kept, from the working directory if relative"
    )
    max_concurrent_downloads: int = _download.setting(
        integer(1, 64), "1", "VODs that come down at the same time"
    )
    download_max_attempts: int = _download.setting(
        ONE_OR_MORE, "5", "quick tries of a download before it rests between tries"
    )
    download_backoff_base: timedelta = _download.setting(
        MOMENT, "2s", "first pause between tries; it doubles each time"
    )
    processing_retry_cooldown: timedelta = _download.setting(
        MOMENT, "600s", "rest after the quick tries; it doubles each time, up to 6 hours"
    )
    download_rate_limit: int | None = _download.optional(
        limit(RATE), "bytes per second for all downloads of a daemon", example="4M"
    )
    download_timeout: timedelta | None = _download.optional(
        limit(MOMENT), "longest time that one download may take", example="12h"
    )
    download_stall_timeout: timedelta = _download.setting(
        MOMENT, "2m", "a download without progress for this long is ended and tried again"
    )
    download_max_size: int | None = _download.optional(
        limit(size(minimum_bytes=1)), "larger VODs are refused", example="200GiB"
    )
    download_segment_concurrency: int = _download.setting(
        integer(1, 64), "8", "connections per download"
    )
    disk_reserve: int | None = _download.optional(
        size(),
        "room on the disk that downloads and waiting chat leave free; when unset 1 GiB, or a"
        " twentieth of a small disk",
        example="5GiB",
    )
    ytdlp_args: tuple[str, ...] = _download.setting(
        service_forms.ARGUMENTS, "", "options for yt-dlp, quoted as for a shell"
    )
    ytdlp_verbose: bool = _download.setting(BOOLEAN, "0", "log all that yt-dlp says")
    ytdlp_cookies_path: Path | None = _download.optional(
        PATH,
        "cookies.txt of a browser that is logged in",
        example="/run/cookies/twitch-cookies.txt",
    )
    data_cleanup_max_age: timedelta | None = _download.setting(
        limit(MOMENT),
        "24h",
        "partial files that nobody works on are deleted at this age; 0 is never",
    )

    circuit_failure_threshold: int = _breaker.setting(
        COUNT, "5", "VODs that fail before a channel is halted; 0 turns the breaker off"
    )
    circuit_open_cooldown: timedelta = _breaker.setting(
        MOMENT, "5m", "how long it is halted before one VOD is tried"
    )

    yt_enabled: bool | None = _youtube.optional(
        BOOLEAN, "upload; when unset, if there are credentials", example="1"
    )
    youtube_upload_enabled: bool | None = _youtube.optional(
        BOOLEAN, "older name of YT_ENABLED", example="1"
    )
    yt_client_id: str | None = _youtube.optional(
        TOKEN, "OAuth client at console.cloud.google.com", example="123-abc.apps.example"
    )
    yt_client_secret: str | None = _youtube.optional(
        TOKEN, "secret of the same client", example="", secret=True
    )
    yt_redirect_uri: str | None = _youtube.optional(
        REDIRECT,
        "redirect address, as registered with the client",
        example="http://localhost:8085/",
    )
    yt_scopes: tuple[str, ...] = _youtube.setting(
        SCOPES, "https://www.googleapis.com/auth/youtube", "what auth login youtube asks for"
    )
    yt_channel_accounts: tuple[tuple[str, str], ...] = _youtube.setting(
        service_forms.ACCOUNTS, "", f"channel=account, with commas; others use `{DEFAULT_ACCOUNT}`"
    )
    yt_quota_units_per_day: int = _youtube.setting(
        COUNT, "10000", "units that Google grants the project per day"
    )
    yt_upload_cost_units: int = _youtube.setting(COUNT, "1600", "units that one upload costs")

    yt_privacy: str = _video.setting(
        forms.choice("private", "unlisted", "public"), "private", "private, unlisted or public"
    )
    yt_category_id: str = _video.setting(
        service_forms.CATEGORY, _looks.category_id, "category; 20 is gaming"
    )
    yt_tags: tuple[str, ...] = _video.setting(listing(TEXT), "", "tags, with commas")
    yt_language: str | None = _video.optional(
        service_forms.LANGUAGE, "language of title and sound", example="en"
    )
    yt_playlist_id: str | None = _video.optional(
        TOKEN, "playlist that every video is added to", example="PLabc"
    )
    yt_recording_date: bool = _video.setting(BOOLEAN, "1", "tell YouTube when the stream began")
    yt_title_template: str = _video.setting(
        service_forms.template("YT_TITLE_TEMPLATE"),
        _looks.title_template,
        "placeholders: " + " ".join(PLACEHOLDERS),
    )
    yt_description_template: str = _video.setting(
        service_forms.template("YT_DESCRIPTION_TEMPLATE"),
        _looks.description_template.replace("\n", "\\n"),
        "the same placeholders; \\n is a line break",
    )
    yt_split: bool = _video.setting(
        BOOLEAN, "0", "cut what is over 12 h or 256 GB into parts, instead of refusing it"
    )

    upload_max_attempts: int = _upload.setting(
        ONE_OR_MORE, "5", "quick tries of an upload before it rests between tries"
    )
    upload_backoff_base: timedelta = _upload.setting(
        MOMENT, "2s", "first pause between tries; it doubles each time"
    )
    upload_daily_limit: int = _upload.setting(
        COUNT, "5", "uploads per Pacific day and project; 0 is none"
    )
    backfill_upload_daily_limit: int = _upload.setting(
        COUNT, "5", "the same for VODs older than RETAIN_KEEP_NEWER_THAN_DAYS"
    )
    upload_spread: bool = _upload.setting(
        BOOLEAN, "0", "space a day's uploads instead of sending them at once"
    )
    upload_chunk_size: int = _upload.setting(
        size(minimum_bytes=256 * 1024, multiple_of_bytes=256 * 1024),
        "8MiB",
        "bytes per request; a multiple of 256KiB",
    )
    upload_absence_wait: timedelta = _upload.setting(
        LENGTH, "1h", "how long a video may be missing on YouTube before that means something"
    )

    backfill_autoclean: bool = _files.setting(
        BOOLEAN, "1", "delete local files that YouTube has processed"
    )
    retain_keep_newer_than_days: int = _files.setting(COUNT, "7", "but keep those of younger VODs")
    retention_keep_days: int | None = _files.optional(
        limit(ONE_OR_MORE), "keep local files of VODs up to this age", example="30"
    )
    retention_keep_count: int | None = _files.optional(
        limit(ONE_OR_MORE), "keep the local files of this many newest VODs", example="20"
    )
    retention_dry_run: bool = _files.setting(BOOLEAN, "0", "only log what would be deleted")
    retention_interval: timedelta = _files.setting(MOMENT, "6h", "pause between two clean-ups")

    db_dsn: str | None = _database.optional(
        service_forms.DSN,
        "a PostgreSQL 15 or newer; without it one runs under DATA_DIR",
        example="postgresql://vod@localhost:5432/vod",
        secret=True,
    )
    db_password: str | None = _database.optional(
        TEXT, "completes a DB_DSN that has none", example="", secret=True
    )
    db_direct_dsn: str | None = _database.optional(
        service_forms.DSN,
        "the way past a pooler, for dump, restore and vacuum",
        example="postgresql://vod@postgres:5432/vod",
        secret=True,
    )
    db_admin_dsn: str | None = _database.optional(
        service_forms.DSN,
        "a role that may create databases, for restore and its drill",
        example="postgresql://postgres@postgres:5432/postgres",
        secret=True,
    )
    db_max_open_conns: int = _database.setting(
        integer(1, 1000), "10", "most connections of one process"
    )
    db_max_idle_conns: int = _database.setting(
        integer(0, 1000), "2", "connections that stay open while idle"
    )
    encryption_key: bytes | None = _database.optional(
        forms.KEY, "encrypts tokens; make one: openssl rand -base64 32", example="", secret=True
    )
    old_encryption_key: bytes | None = _database.optional(
        forms.KEY,
        "the key before this one: still read, until auth rekey has changed what it encrypts",
        example="",
        secret=True,
    )

    backup_dir: Path | None = _backup.optional(
        PATH,
        f"where dumps are kept; when unset `{DEFAULT_BACKUP_DIRECTORY}` in the working directory",
        example="/opt/vod-tender/backups",
    )
    backup_s3_url: S3Location | None = _backup.optional(
        service_forms.S3_PREFIX,
        "where each dump is copied to",
        example="s3://vod-tender-backups/database/",
    )
    backup_storage_class: str = _backup.setting(
        service_forms.STORAGE_CLASS, "STANDARD_IA", "storage class of the copies"
    )
    backup_archive_storage_class: str = _backup.setting(
        service_forms.STORAGE_CLASS,
        "GLACIER_IR",
        "class of the one copy a month that is kept for longer",
    )
    backup_retention_days: int = _backup.setting(
        ONE_OR_MORE, "30", "days after which a backup is removed"
    )
    backup_min_keep: int = _backup.setting(
        ONE_OR_MORE, "3", "but this many good ones always stay, here and there"
    )
    backup_archive_days: int = _backup.setting(
        COUNT, "365", "days for which one backup a month is kept; 0 keeps none for longer"
    )
    backup_schedule: str | None = _backup.optional(
        service_forms.SCHEDULE,
        f"when the daemon makes one, in UTC, or off; when unset `{DEFAULT_BACKUP_SCHEDULE}` if"
        " BACKUP_DIR, BACKUP_S3_URL or BACKUP_WAL is set",
        example=DEFAULT_BACKUP_SCHEDULE,
    )
    backup_wal: bool = _backup.setting(
        BOOLEAN,
        "0",
        "embedded database: archive its log in BACKUP_DIR, so that any moment can be restored",
    )
    backup_base_keep: int = _backup.setting(
        ONE_OR_MORE, "2", "base backups that stay, each with the log since"
    )
    backup_base_interval: timedelta = _backup.setting(
        MOMENT, "7d", "age of the last base backup at which the daemon's next backup makes one"
    )
    backup_rpo: timedelta = _backup.setting(
        MOMENT, "24h", "age of the last good backup from which on people are warned"
    )
    restore_rto: timedelta = _backup.setting(
        MOMENT, "1h", "how long a restore may take; its drill is judged by it"
    )

    archive_s3_url: S3Location | None = _archive.optional(
        service_forms.S3_PREFIX,
        "where VOD files are moved to; `export s3-lifecycle` makes rules for it",
        example="s3://vod-tender-archive/vods/",
    )
    archive_dir: Path | None = _archive.optional(
        PATH, "the same, for a directory on another disk", example="/mnt/archive"
    )
    archive_storage_class: str = _archive.setting(
        service_forms.STORAGE_CLASS,
        "GLACIER",
        "storage class of the moved files; other stores have names of their own, such as COLDLINE",
    )
    archive_age_days: int = _archive.setting(
        COUNT, "7", "days after which `vodtender archive` moves a file"
    )
    archive_wait_days: int | None = _archive.setting(
        limit(ONE_OR_MORE),
        "30",
        "age at which a file that YouTube has processed is deleted though the archive has not"
        " taken it; off is never",
    )
    archive_tier: str = _archive.setting(
        forms.choice(*TIERS),
        "standard",
        "how files in slow classes are asked for: expedited, standard or bulk",
    )
    archive_concurrency: int = _archive.setting(
        integer(1, 4), "2", "files that are moved at the same time"
    )

    aws_access_key_id: str | None = _aws.optional(
        TOKEN,
        "key; without one whatever the AWS tools find on this machine counts",
        example="AKIAIOSFODNN7EXAMPLE",
    )
    aws_secret_access_key: str | None = _aws.optional(
        TOKEN, "secret of the same key", example="", secret=True
    )
    aws_session_token: str | None = _aws.optional(
        TOKEN, "comes with keys that are short-lived", example="", secret=True
    )
    aws_region: str | None = _aws.optional(
        TOKEN, "region; AWS_DEFAULT_REGION counts, too", example="eu-central-1"
    )
    aws_endpoint_url: str | None = _aws.optional(
        service_forms.REDIRECT,
        "a store other than Amazon's that speaks S3",
        example="https://minio.example:9000",
    )

    http_addr: Address = _daemon.setting(
        forms.ADDRESS, "127.0.0.1:8080", "where status and metrics are served; port 0 is a free one"
    )
    log_level: str = _daemon.setting(
        forms.choice("debug", "info", "warn", "error", aliases={"warning": "warn"}),
        "info",
        "debug, info, warn or error",
    )
    log_format: str = _daemon.setting(forms.choice("text", "json"), "text", "text or json")
    lease_seconds: int = _daemon.setting(
        integer(1, 86400), "60", "after this long without a sign of life a worker counts as dead"
    )
    shutdown_timeout: timedelta = _daemon.setting(
        MOMENT, "30s", "how long work in hand may take to reach a safe point"
    )

    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """By name in capitals: `default`, `environment` or `FILE:LINE`."""
    warnings: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """What is no error and yet worth saying, such as a variable that looks misspelt."""

    @property
    def channels(self) -> tuple[str, ...]:
        """TWITCH_CHANNEL and TWITCH_CHANNELS together, each once, in order."""
        first = (self.twitch_channel,) if self.twitch_channel else ()
        return tuple(dict.fromkeys(first + self.twitch_channels))

    @property
    def uploads_enabled(self) -> bool:
        """Whether VODs go to YouTube: as set, else if there are credentials."""
        wish = self.upload_wish
        return bool(self.yt_client_id and self.yt_client_secret) if wish is None else wish

    @property
    def upload_wish(self) -> bool | None:
        """YT_ENABLED, by its older name too; None when it is not set."""
        return self.youtube_upload_enabled if self.yt_enabled is None else self.yt_enabled

    @property
    def dsn(self) -> str | None:
        """DB_DSN, completed by DB_PASSWORD; None means the embedded database."""
        if self.db_dsn is None:
            return None
        return service_forms.complete_dsn(self.db_dsn, self.db_password)

    @property
    def direct_dsn(self) -> str | None:
        """DB_DIRECT_DSN, else DB_DSN, completed by DB_PASSWORD; None: the embedded database."""
        if self.db_direct_dsn is None:
            return self.dsn
        return service_forms.complete_dsn(self.db_direct_dsn, self.db_password)

    @property
    def backup_directory(self) -> Path:
        """Where dumps are kept on this machine."""
        return self.backup_dir or Path(DEFAULT_BACKUP_DIRECTORY)

    @property
    def backup_cron(self) -> str | None:
        """When the daemon makes a backup; None: never."""
        if self.backup_schedule is not None:
            wish = self.backup_schedule
            return None if wish == service_forms.NO_SCHEDULE else wish
        has_target = bool(self.backup_dir or self.backup_s3_url or self.backup_wal)
        return DEFAULT_BACKUP_SCHEDULE if has_target else None

    @property
    def archive_enabled(self) -> bool:
        """Whether there is an archive."""
        return self.archive_s3_url is not None or self.archive_dir is not None

    @property
    def idle_connections(self) -> int:
        """DB_MAX_IDLE_CONNS, never more than may be open (as the Go system does it)."""
        return min(self.db_max_idle_conns, self.db_max_open_conns)

    @property
    def presentation(self) -> Presentation:
        """How videos are presented, as the model takes it."""
        return Presentation(
            title_template=self.yt_title_template,
            description_template=self.yt_description_template,
            privacy=self.yt_privacy,
            category_id=self.yt_category_id,
            tags=self.yt_tags,
            language=self.yt_language,
            recording_date=self.yt_recording_date,
        )

    def youtube_account(self, channel: str) -> str:
        """The name of the YouTube account that a channel's VODs go to."""
        return dict(self.yt_channel_accounts).get(channel.lower(), DEFAULT_ACCOUNT)

    def origin(self, name: str) -> str:
        """Where the value of a setting (name in capitals) came from."""
        return self.origins.get(name, "default")


DECLARED: Mapping[str, Declared] = declared(Settings)
"""What is known of each setting, by its name in capitals, in the order above."""
