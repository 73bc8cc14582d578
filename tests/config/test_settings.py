"""The table of settings, and what follows from several of them together."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from vodtender.config.forms import Address
from vodtender.config.settings import DECLARED, Settings
from vodtender.model.video_metadata import Presentation


def test_the_defaults_that_are_promised() -> None:
    settings = Settings()
    assert settings.twitch_vod_retention_days == 14
    assert settings.twitch_scopes == ("chat:read", "chat:edit")
    assert settings.vod_process_interval == timedelta(minutes=1)
    assert settings.vod_catalog_backfill_interval == timedelta(hours=6)
    assert settings.processing_retry_cooldown == timedelta(seconds=600)
    assert settings.download_backoff_base == timedelta(seconds=2)
    assert settings.data_dir == Path("data")
    assert settings.data_cleanup_max_age == timedelta(hours=24)
    assert settings.circuit_failure_threshold == 5
    assert settings.circuit_open_cooldown == timedelta(minutes=5)
    assert settings.yt_scopes == ("https://www.googleapis.com/auth/youtube",)
    assert (settings.yt_quota_units_per_day, settings.yt_upload_cost_units) == (10000, 1600)
    assert (settings.upload_daily_limit, settings.backfill_upload_daily_limit) == (5, 5)
    assert settings.upload_chunk_size == 8 * 1024**2
    assert settings.yt_privacy == "private"
    assert settings.retain_keep_newer_than_days == 7
    assert settings.backfill_autoclean is True
    assert settings.retention_keep_days is settings.retention_keep_count is None
    assert settings.http_addr == Address("127.0.0.1", 8080)
    assert settings.lease_seconds == 60
    assert (settings.db_max_open_conns, settings.db_max_idle_conns) == (10, 2)


def test_templates_start_as_the_model_has_them() -> None:
    settings, presentation = Settings(), Presentation()
    assert settings.yt_title_template == presentation.title_template
    assert settings.yt_description_template == presentation.description_template
    assert settings.yt_category_id == presentation.category_id
    assert settings.presentation == presentation
    assert Settings(yt_tags=("a",), yt_language="en").presentation.tags == ("a",)


def test_every_field_is_declared_and_every_default_survives_the_way_to_text() -> None:
    settings = Settings()
    others = {"origins", "warnings"}
    assert {one.name.upper() for one in fields(Settings) if one.name not in others} == set(DECLARED)
    for name, declared in DECLARED.items():
        value = getattr(settings, name.lower())
        assert declared.meaning
        assert declared.group
        if value is not None:
            assert declared.form.read(declared.form.write(value)) == value, name


def test_what_is_secret() -> None:
    assert {name for name, declared in DECLARED.items() if declared.secret} == {
        *("TWITCH_CLIENT_SECRET", "YT_CLIENT_SECRET", "DB_DSN", "DB_PASSWORD"),
        *("ENCRYPTION_KEY", "OLD_ENCRYPTION_KEY", "TWITCH_OAUTH_TOKEN"),
        *("DB_DIRECT_DSN", "DB_ADMIN_DSN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    }


def test_channels_are_those_of_both_settings_once_each() -> None:
    assert Settings().channels == ()
    settings = Settings(twitch_channel="b", twitch_channels=("a", "b", "c"))
    assert settings.channels == ("b", "a", "c")


@pytest.mark.parametrize(
    ("settings", "enabled"),
    [
        (Settings(), False),
        (Settings(yt_client_id="a"), False),
        (Settings(yt_client_id="a", yt_client_secret="b"), True),
        (Settings(yt_client_id="a", yt_client_secret="b", yt_enabled=False), False),
        (Settings(yt_client_id="a", yt_client_secret="b", youtube_upload_enabled=False), False),
        (Settings(yt_enabled=True), True),
        (Settings(youtube_upload_enabled=True), True),
    ],
)
def test_uploads_are_on_as_set_else_when_there_are_credentials(
    settings: Settings, enabled: bool
) -> None:
    assert settings.uploads_enabled is enabled


def test_without_an_address_the_database_is_the_embedded_one() -> None:
    assert Settings(db_password="x").dsn is None


def test_idle_connections_are_never_more_than_open_ones() -> None:
    assert Settings(db_max_open_conns=1).idle_connections == 1
    assert Settings().idle_connections == 2


def test_accounts_by_channel() -> None:
    settings = Settings(yt_channel_accounts=(("a", "main"),))
    assert settings.youtube_account("A") == "main"
    assert settings.youtube_account("b") == "default"


def test_settings_and_log_load_nothing_heavy() -> None:
    """`vodtender --help` imports them."""
    heavy = "yaml requests rich typer psycopg yt_dlp googleapiclient cryptography hypothesis"
    code = (
        "import sys, vodtender.config.load, vodtender.config.example, vodtender.log;"
        f"print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
