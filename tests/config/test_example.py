"""The example is a settings file that says nothing, and everything once its # are gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vodtender.config import redaction
from vodtender.config.example import example
from vodtender.config.load import load
from vodtender.config.settings import DECLARED, Settings
from vodtender.config.showing import shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vodtender.yaml"


def test_as_it_is_it_sets_nothing(path: Path) -> None:
    path.write_text(example())
    assert load({}, path) == Settings()


def test_without_its_hashes_it_sets_everything_to_the_default_or_an_example(path: Path) -> None:
    uncommented = re.sub(r"(?m)^#(?=[A-Z0-9_]+:)(?!\w+_FILE:)", "", example())
    path.write_text(uncommented)
    path.chmod(0o600)
    others = ("TWITCH_CLIENT_SECRET", "YT_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY")
    settings = load(dict.fromkeys(others, "x"), path)
    for name, declared in DECLARED.items():
        if declared.default is not None:
            assert getattr(settings, name.lower()) == getattr(Settings(), name.lower())
        elif not declared.secret:
            assert settings.origin(name).startswith(f"{path}:"), name


def test_every_setting_is_in_it_with_its_meaning() -> None:
    text = example()
    for name, declared in DECLARED.items():
        assert re.search(rf"(?m)^#{name}(_FILE)?: ", text), name
        assert f"# {declared.meaning}\n" in text


def test_every_secret_can_be_named_by_a_file() -> None:
    for name, declared in DECLARED.items():
        assert (f"#{name}_FILE: " in example()) is declared.secret


def test_what_is_shown_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_hidden", ())
    environ = {
        "DB_DSN": "postgresql://vod:pw@h/vod",
        "TWITCH_CLIENT_ID": "abc",
        "TWITCH_CLIENT_SECRET": "xyz",
        "YTDLP_ARGS": "--password pw --add-header 'Authorization: Bearer abcdef1'",
        "DOWNLOAD_TIMEOUT": "off",
        "UPLOAD_CHUNK_SIZE": "1M",
    }
    values = {one.name: one.value for one in shown(load(environ, None))}
    assert values["DB_DSN"] == "postgresql://vod:***@h/vod"
    assert values["TWITCH_CLIENT_SECRET"] == "***"
    assert values["TWITCH_CLIENT_ID"] == "abc"
    assert values["DB_PASSWORD"] is None
    assert values["YTDLP_ARGS"] is not None
    assert "pw" not in values["YTDLP_ARGS"]
    assert "abcdef1" not in values["YTDLP_ARGS"]
    assert values["DOWNLOAD_TIMEOUT"] == "off"
    assert values["DOWNLOAD_MAX_SIZE"] is None
    assert values["UPLOAD_CHUNK_SIZE"] == "1MiB"


def test_it_is_shown_in_the_order_of_the_example() -> None:
    assert [one.name for one in shown(Settings())] == list(DECLARED)
