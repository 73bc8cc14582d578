"""Where settings come from, and what an operator reads when they are wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from vodtender.config import redaction
from vodtender.config.load import config_file, load
from vodtender.config.settings import DECLARED, Settings
from vodtender.errors import Exit, SettingsError

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the settings file."""

    def written(content: str | bytes) -> Path:
        path = tmp_path / "vodtender.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
        return path

    return written


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "working"
    directory.mkdir()
    monkeypatch.chdir(directory)


def problems(environ: dict[str, str], path: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ, path)
    assert caught.value.exit is Exit.USAGE
    return caught.value.message.replace(str(path), "FILE")


# --- Sources ----------------------------------------------------------------------------


def test_nothing_set_means_the_defaults() -> None:
    settings = load({}, None)
    assert settings == Settings()
    assert set(settings.origins) == set(DECLARED)
    assert set(settings.origins.values()) == {"default"}
    assert settings.warnings == ()


def test_the_environment_counts_more_than_the_file(write: Write) -> None:
    path = write("data_dir: /file\nLOG_LEVEL: debug\n")
    settings = load({"DATA_DIR": "/environment"}, path)
    assert settings.data_dir == Path("/environment")
    assert settings.log_level == "debug"
    assert settings.origin("DATA_DIR") == "environment"
    assert settings.origin("LOG_LEVEL") == f"{path}:2"
    assert settings.origin("HTTP_ADDR") == "default"


def test_an_empty_value_is_no_value(write: Write) -> None:
    path = write("LOG_LEVEL: debug\nDATA_DIR:\nYT_TAGS: []\nYT_LANGUAGE: ''\nVOD_CATALOG_MAX: ~\n")
    settings = load({"LOG_LEVEL": "", "LEASE_SECONDS": "  "}, path)
    assert settings.log_level == "debug"
    assert settings.data_dir == Path("data")
    assert settings.lease_seconds == 60
    assert settings.yt_language is None


def test_a_working_directory_that_cannot_be_looked_into_has_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refuse)
    assert config_file({}, None) is None


def test_which_file_is_read(tmp_path: Path) -> None:
    here, named, given = Path("vodtender.yaml"), tmp_path / "named.yaml", tmp_path / "given.yaml"
    assert config_file({}, None) is None
    here.write_text("LOG_LEVEL: debug")
    assert config_file({}, None) == here
    assert load({}, None).origin("LOG_LEVEL") == "vodtender.yaml:1"
    assert config_file({"VODTENDER_CONFIG": str(named)}, None) == named
    assert config_file({"VODTENDER_CONFIG": str(named)}, given) == given


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert problems({}, path) == "FILE: cannot be read: no such file or directory"
    assert "none.yaml: cannot be read" in problems({"VODTENDER_CONFIG": str(path)})


def test_values_stay_as_they_are_written(write: Write) -> None:
    """YAML would read an octal number, a sexagesimal one, a date, a float and booleans here."""
    path = write(
        "VOD_CATALOG_MAX: 0123\nYT_CATEGORY_ID: 010\nYT_TAGS: [2026-11-23, 1e3, no, 1:30, a b]\n"
        "YT_SPLIT: yes\nYTDLP_VERBOSE: True\nDOWNLOAD_TIMEOUT: 90\n"
    )
    settings = load({}, path)
    assert settings.vod_catalog_max == 123
    assert settings.yt_category_id == "010"
    assert settings.yt_tags == ("2026-11-23", "1e3", "no", "1:30", "a b")
    assert settings.yt_split is True
    assert settings.ytdlp_verbose is True
    assert settings.download_timeout == timedelta(seconds=90)


def test_lists_may_be_written_as_lists(write: Write) -> None:
    path = write(
        "TWITCH_CHANNELS:\n  - A\n  - https://www.twitch.tv/b\nYTDLP_ARGS: [-f, a b]\n"
        "YT_TAGS: [one, 'two, with a comma']\n"
    )
    settings = load({}, path)
    assert settings.channels == ("a", "b")
    assert settings.ytdlp_args == ("-f", "a b")
    assert settings.yt_tags == ("one", "two, with a comma")


def test_anchors_tags_and_a_byte_order_mark_do_no_harm(write: Write) -> None:
    path = write("\ufeff---\nTWITCH_CHANNEL: &name someone\nYT_TAGS: [*name, !x y]\n...\n")
    settings = load({}, path)
    assert settings.twitch_channel == "someone"
    assert settings.yt_tags == ("someone", "y")


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "~\n"])
def test_an_empty_file_sets_nothing(write: Write, content: str) -> None:
    assert load({}, write(content)) == Settings()


# --- What is wrong with a file ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "FILE:1: expected lines of the form NAME: value"),
        ("\njust text\n", "FILE:2: expected lines of the form NAME: value"),
        (
            "LOG_LEVEL: info\nDATA_DIR: [a\n",
            "FILE:3: not YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("LOG_LEVEL: info\n\tDATA_DIR: x\n", "FILE:2: not YAML: found character"),
        ("LOG_LEVEL: info\n---\nLOG_LEVEL: info\n", "FILE:2: not YAML: but found another document"),
        ("A: b\nDATA_DIR: \x01\n", "FILE:2: a control character, which YAML forbids"),
        (b"# \xc3\xa4\nDATA_DIR: \xe4\n", "FILE:2: not UTF-8"),
        ("LOG_LEVEL: info\n".encode("utf-16"), "FILE:1: not UTF-8"),
        ("[" * 1000, "FILE: nested too deeply"),
        ("#" * 1024 * 1025, "FILE: larger than 1 MiB, so this is no settings file"),
        (
            "LOG_LEVEL: info\n\nlog_level: debug\n",
            "FILE:3: LOG_LEVEL is set a second time, first on line 1",
        ),
        ("LOG_LEVEL: {a: b}\n", "FILE:1: LOG_LEVEL: expected one value, not a mapping"),
        ("YT_TAGS: [[a]]\n", "FILE:1: YT_TAGS: expected a list of plain values"),
        ("? [a, b]\n: c\n", "FILE:1: expected a setting's name"),
        (
            "LOG_LEVEL: [info]\n",
            'FILE:1: LOG_LEVEL is "info": expected one of debug, info, warn, error, not a list',
        ),
        (
            "\nDOWNLOAD_TIMOUT: 5m\n",
            'FILE:2: there is no setting "DOWNLOAD_TIMOUT"; did you mean DOWNLOAD_TIMEOUT?',
        ),
        ("data-dir: x\n", 'FILE:1: there is no setting "DATA-DIR"; did you mean DATA_DIR?'),
        ("qqqq: x\n", 'FILE:1: there is no setting "QQQQ"'),
        ("<<: {a: b}\n", "FILE:1: <<: expected one value, not a mapping"),
    ],
)
def test_a_file_that_is_wrong_says_where(write: Write, content: str | bytes, message: str) -> None:
    assert problems({}, write(content)).startswith(message)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert problems({}, tmp_path) == "FILE: cannot be read: is a directory"


def test_a_broken_secret_is_not_repeated(write: Write) -> None:
    """`*hunter22` is an alias that does not exist, and the library says so by its name."""
    assert "hunter22" not in problems({}, write("DB_PASSWORD: *hunter22\n"))


# --- What is wrong with a value -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VOD_PROCESS_INTERVAL", "1x", "expected a duration such as 90s, 5m, 1h30m or 14d"),
        ("VOD_PROCESS_INTERVAL", "0", "expected 0.001s or longer"),
        ("SHUTDOWN_TIMEOUT", "-1s", "expected a duration"),
        ("LEASE_SECONDS", "0", "expected a whole number from 1 to 86400"),
        ("UPLOAD_CHUNK_SIZE", "300K", "expected a multiple of 256KiB"),
        ("HTTP_ADDR", "8080", "expected host:port such as 127.0.0.1:8080"),
        ("YT_PRIVACY", "privat", "did you mean private?"),
        ("TWITCH_VOD_TYPES", "archive,clips", "expected one of archive, highlight, upload"),
        ("TWITCH_CHANNEL", "no-body", "expected a Twitch channel's name"),
        ("YT_TITLE_TEMPLATE", "{titel}", "it has an unknown placeholder {titel}"),
        ("BACKFILL_AUTOCLEAN", "maybe", "expected 1, 0, true, false, yes, no, on or off"),
        ("DB_MAX_OPEN_CONNS", "0", "expected a whole number from 1 to 1000"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_or_line(
    write: Write, name: str, value: str, message: str
) -> None:
    start = f'{name} is "{value}": '
    said = problems({name: value})
    assert said.startswith(f"environment: {start}")
    assert message in said
    assert problems({}, write(f"\n\n{name}: '{value}'\n")) == said.replace(
        "environment:", "FILE:3:"
    )


def test_everything_that_is_wrong_is_said_at_once(write: Write) -> None:
    path = write("LOG_LEVL: info\nYT_PRIVACY: secret\n")
    environ = {"LEASE_SECONDS": "x", "TWITCH_CLIENT_ID": "a"}
    both = "TWITCH_CLIENT_ID is set, but TWITCH_CLIENT_SECRET is not: both or neither"
    assert problems(environ, path).splitlines() == [
        "4 settings are wrong, so nothing was started:",
        'FILE:1: there is no setting "LOG_LEVL"; did you mean LOG_LEVEL?',
        'FILE:2: YT_PRIVACY is "secret": expected one of private, unlisted, public',
        'environment: LEASE_SECONDS is "x": expected a whole number from 1 to 86400',
        f"environment: {both}",
    ]


def test_a_wrong_value_is_shown_on_one_line_and_short() -> None:
    said = problems({"LOG_LEVEL": "a\nb\x1b[2J\u202e" + "x" * 500})
    assert said.isprintable()
    assert len(said) < 200


def test_the_hint_says_what_to_type() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"LOG_LEVEL": "x"}, None)
    assert "vodtender config example" in caught.value.hint


# --- Secrets ----------------------------------------------------------------------------


def test_a_secret_comes_from_a_file(tmp_path: Path, write: Write) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret with space \r\n")
    for environ, content in (
        ({"DB_PASSWORD_FILE": str(secret)}, ""),
        ({}, f"db_password_file: {secret}"),
    ):
        settings = load({**environ, "DB_DSN": "postgresql://vod@h/vod"}, write(content))
        assert settings.db_password == "s3cret with space "
        assert settings.dsn == "postgresql://vod@h/vod?password=s3cret%20with%20space%20"
        assert "DB_PASSWORD_FILE" in settings.origin("DB_PASSWORD")


def test_a_secret_in_the_environment_replaces_one_in_the_file(tmp_path: Path, write: Write) -> None:
    secret = tmp_path / "secret"
    secret.write_text("outer\n")
    path = write("DB_PASSWORD: inner\nDB_DSN: postgresql://h/vod\n")
    assert load({"DB_PASSWORD_FILE": str(secret)}, path).db_password == "outer"


def test_a_secret_is_given_once(write: Write) -> None:
    message = "DB_PASSWORD and DB_PASSWORD_FILE are both set: only one may be"
    environ = {"DB_PASSWORD": "abcdefgh", "DB_PASSWORD_FILE": "/x"}
    assert problems(environ) == f"environment: {message}"
    assert problems({}, write("DB_PASSWORD_FILE: /x\nDB_PASSWORD: y\n")) == f"FILE:2: {message}"


def test_a_secrets_file_that_cannot_be_used(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    start = "environment: DB_PASSWORD_FILE: "
    for path, said in (
        (tmp_path / "none", "cannot be read: no such file or directory"),
        (tmp_path, "cannot be read: is a directory"),
        (binary, "cannot be read: not UTF-8"),
        (empty, "is empty"),
    ):
        assert problems({"DB_PASSWORD_FILE": str(path)}) == f"{start}{path} {said}"


@pytest.mark.parametrize(
    "environ",
    [
        {"ENCRYPTION_KEY": "topsecret-1"},
        {"DB_DSN": "topsecret-1"},
        {"YT_CLIENT_SECRET": "topsecret-1 x"},
        {"DB_PASSWORD": "topsecret-1", "LOG_LEVEL": "topsecret-1"},
        {"YTDLP_ARGS": "--password topsecret-1 'x"},
    ],
)
def test_no_message_repeats_a_secret(environ: dict[str, str]) -> None:
    said = problems(environ)
    assert "topsecret" not in said
    assert next(iter(environ)) in said or "LOG_LEVEL" in said


def test_an_address_without_a_password_is_no_secret() -> None:
    load({"DB_DSN": "postgresql://vod@h/vod"}, None)
    assert redaction.redact("to postgresql://vod@h/vod") == "to postgresql://vod@h/vod"


def test_every_secret_is_hidden_from_then_on() -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    environ = {
        "DB_DSN": "postgresql://vod:d%21password@h/vod",
        "ENCRYPTION_KEY": key,
        "TWITCH_CLIENT_ID": "public-id",
        "TWITCH_CLIENT_SECRET": "twitch-secret-1",
        "YT_CLIENT_ID": "public-yt",
        "YT_CLIENT_SECRET": "yt-secret-1",
    }
    settings = load(environ, None)
    text = f"d!password d%21password {key} twitch-secret-1 yt-secret-1 public-id"
    assert redaction.redact(text) == "*** *** *** *** *** public-id"
    for secret in ("password", key, "secret-1", str(bytes(range(32)))):
        assert secret not in repr(settings)


# --- Contradictions and warnings ------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"TWITCH_CLIENT_ID": "a"},
            "TWITCH_CLIENT_ID is set, but TWITCH_CLIENT_SECRET is not: both or neither",
        ),
        (
            {"YT_CLIENT_SECRET": "a"},
            "YT_CLIENT_SECRET is set, but YT_CLIENT_ID is not: both or neither",
        ),
        (
            {"YT_ENABLED": "1", "YOUTUBE_UPLOAD_ENABLED": "0"},
            "YT_ENABLED and YOUTUBE_UPLOAD_ENABLED disagree: they are the same switch, "
            "YOUTUBE_UPLOAD_ENABLED is its older name",
        ),
        (
            {"YT_CHANNEL_ACCOUNTS": "a=x,A=y"},
            "YT_CHANNEL_ACCOUNTS: a has two accounts, x and y",
        ),
        (
            {"YT_ENABLED": "1", "YT_UPLOAD_COST_UNITS": "20000"},
            "one upload would cost more than the quota of a day, so none would ever start",
        ),
    ],
)
def test_settings_that_contradict_each_other(environ: dict[str, str], message: str) -> None:
    assert problems(environ) == f"environment: {message}"


def test_a_contradiction_names_both_places(write: Write) -> None:
    path = write("YT_ENABLED: yes\n")
    assert problems({"YOUTUBE_UPLOAD_ENABLED": "0"}, path).startswith("FILE:1, environment: YT_E")


def test_what_could_not_be_read_contradicts_nothing() -> None:
    said = problems({"TWITCH_CLIENT_ID": "a", "TWITCH_CLIENT_SECRET": "a b"})
    assert said.startswith("environment: TWITCH_CLIENT_SECRET: expected text")
    assert "\n" not in said


def test_agreeing_switches_are_fine() -> None:
    assert load({"YT_ENABLED": "1", "YOUTUBE_UPLOAD_ENABLED": "yes"}, None).uploads_enabled


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        (
            {"TWITCH_CHANEL": "a"},
            "environment: TWITCH_CHANEL is no setting; did you mean TWITCH_CHANNEL?",
        ),
        (
            {"YTDLP_COOKIE_PATH": "a"},
            "environment: YTDLP_COOKIE_PATH is no setting; did you mean YTDLP_COOKIES_PATH?",
        ),
        ({"DB_PASSWORD": "abcdefgh"}, "environment: DB_PASSWORD: has no effect: DB_DSN is not set"),
        (
            {"DB_PASSWORD": "abcdefgh", "DB_DSN": "postgresql://u:other@h/d"},
            "environment: DB_PASSWORD has no effect: DB_DSN has another password",
        ),
        (
            {"YT_ENABLED": "1"},
            "environment: uploads are on, but YT_CLIENT_ID is not set: videos wait, unless they go "
            "to an account that was imported with a client of its own",
        ),
        (
            {"TWITCH_CHANNEL": "a", "YT_CHANNEL_ACCOUNTS": "b=x"},
            "environment: YT_CHANNEL_ACCOUNTS: names b, which is not among the channels",
        ),
    ],
)
def test_what_is_worth_a_warning(environ: dict[str, str], warning: str) -> None:
    assert load(environ, None).warnings == (warning,)


def test_other_programs_variables_are_none_of_our_business() -> None:
    names = (
        "RETENTION_DAYS YOUTUBE_UPLOAD_OWNERSHIP HTTP_PROXY PATH DATA_DIRS AWS_PROFILE "
        "POSTGRES_PASSWORD LOG_LEVELS"
    )
    assert load(dict.fromkeys(names.split(), "x"), None).warnings == ()


def test_a_file_with_secrets_that_everybody_can_read(write: Write) -> None:
    path = write("DB_DSN: postgresql://h/vod\n")
    assert load({}, path).warnings == ()
    path.chmod(0o644)
    assert load({}, path).warnings == (
        f"{path}: everybody on this machine can read its secrets; chmod 600 {path}",
    )
    path = write("LOG_LEVEL: info\n")
    path.chmod(0o666)
    assert load({}, path).warnings == (
        f"{path}: everybody on this machine can change it; chmod go-w {path}",
    )
