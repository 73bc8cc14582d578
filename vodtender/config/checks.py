"""What settings say of each other: contradictions, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vodtender.config.service_forms import dsn_passwords
from vodtender.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """Names (in capitals) of the settings concerned, and what is wrong with them together."""

    names: tuple[str, ...]
    text: str


def contradictions(settings: Settings) -> Iterator[Finding]:
    """What makes these settings impossible together."""
    for service in ("TWITCH", "YT"):
        yield from _pair(settings, f"{service}_CLIENT_ID", f"{service}_CLIENT_SECRET")
    yield from _pair(settings, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    yield from _two_switches(settings)
    yield from _accounts(settings)
    if settings.twitch_vod_start is not None and settings.twitch_vod_id is None:
        yield Finding(
            ("TWITCH_VOD_START",), "TWITCH_VOD_START is set, but TWITCH_VOD_ID is not: whose start?"
        )
    if settings.archive_dir is not None and _is_within(settings.archive_dir, settings.data_dir):
        yield Finding(
            ("ARCHIVE_DIR", "DATA_DIR"), "ARCHIVE_DIR lies in DATA_DIR: nothing would be moved"
        )
    if settings.uploads_enabled and settings.yt_upload_cost_units > settings.yt_quota_units_per_day:
        yield Finding(
            ("YT_UPLOAD_COST_UNITS", "YT_QUOTA_UNITS_PER_DAY"),
            "one upload would cost more than the quota of a day, so none would ever start",
        )


def oddities(settings: Settings) -> Iterator[Finding]:
    """What is allowed and may still not be meant."""
    if settings.db_password and settings.db_dsn is None:
        yield Finding(("DB_PASSWORD",), "has no effect: DB_DSN is not set")
    elif settings.db_password and settings.db_dsn:
        own = dsn_passwords(settings.db_dsn)
        if own and settings.db_password not in own:
            yield Finding(
                ("DB_PASSWORD", "DB_DSN"), "DB_PASSWORD has no effect: DB_DSN has another password"
            )
    if settings.backup_wal and settings.db_dsn is not None:
        yield Finding(
            ("BACKUP_WAL", "DB_DSN"),
            "BACKUP_WAL has no effect: DB_DSN names a server that archives its log by itself",
        )
    if settings.archive_dir is not None and settings.archive_s3_url is not None:
        yield Finding(
            ("ARCHIVE_DIR", "ARCHIVE_S3_URL"), "ARCHIVE_DIR has no effect: ARCHIVE_S3_URL is set"
        )
    if settings.uploads_enabled and not settings.yt_client_id:
        yield Finding(
            ("YT_ENABLED", "YOUTUBE_UPLOAD_ENABLED"),
            "uploads are on, but YT_CLIENT_ID is not set: videos wait, unless they go to an "
            "account that was imported with a client of its own",
        )
    if settings.chat_auto_start and settings.twitch_vod_id is not None:
        yield Finding(
            ("TWITCH_VOD_ID", "CHAT_AUTO_START"),
            "TWITCH_VOD_ID has no effect while CHAT_AUTO_START is on",
        )
    for channel, _ in settings.yt_channel_accounts:
        if settings.channels and channel not in settings.channels:
            yield Finding(
                ("YT_CHANNEL_ACCOUNTS",), f"names {channel}, which is not among the channels"
            )


def _is_within(path: Path, directory: Path) -> bool:
    return path.absolute().is_relative_to(directory.absolute())


def _pair(settings: Settings, first: str, second: str) -> Iterator[Finding]:
    values = [getattr(settings, name.lower()) for name in (first, second)]
    if values[0] and not values[1]:
        yield Finding((first, second), f"{first} is set, but {second} is not: both or neither")
    if values[1] and not values[0]:
        yield Finding((first, second), f"{second} is set, but {first} is not: both or neither")


def _two_switches(settings: Settings) -> Iterator[Finding]:
    new, old = settings.yt_enabled, settings.youtube_upload_enabled
    if new is not None and old is not None and new is not old:
        yield Finding(
            ("YT_ENABLED", "YOUTUBE_UPLOAD_ENABLED"),
            "YT_ENABLED and YOUTUBE_UPLOAD_ENABLED disagree: they are the same switch, "
            "YOUTUBE_UPLOAD_ENABLED is its older name",
        )


def _accounts(settings: Settings) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for channel, account in settings.yt_channel_accounts:
        if seen.setdefault(channel, account) != account:
            yield Finding(
                ("YT_CHANNEL_ACCOUNTS",),
                f"{channel} has two accounts, {seen[channel]} and {account}",
            )
