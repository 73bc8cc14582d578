"""Forms that belong to Twitch, YouTube, yt-dlp and Postgres."""

from __future__ import annotations

from typing import Any

import psycopg.conninfo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.config import service_forms
from vodtender.config.forms import Form
from vodtender.config.service_forms import (
    ACCOUNTS,
    ARGUMENTS,
    CATEGORY,
    CHANNEL,
    CHANNELS,
    DSN,
    LANGUAGE,
    REDIRECT,
    SCOPES,
    TOKEN,
    complete_dsn,
    dsn_passwords,
    mask_dsn,
)


def refusal(form: Form[Any], text: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        form.read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "some_body1",
        " Some_Body1 ",
        "@some_body1",
        "https://www.twitch.tv/some_body1",
        "http://twitch.tv/Some_Body1/videos?filter=archives",
        "m.twitch.tv/some_body1/",
    ],
)
def test_a_channel_is_a_name_or_its_page(text: str) -> None:
    assert CHANNEL.read(text) == "some_body1"


@pytest.mark.parametrize(
    "text", ["", "a b", "a-b", "x" * 26, "ümlaut", "../etc", "a;b", "twitch.tv/"]
)
def test_what_is_no_channel(text: str) -> None:
    assert refusal(CHANNEL, text).startswith("expected a Twitch channel's name")


def test_several_channels_have_a_setting_of_their_own() -> None:
    assert refusal(CHANNEL, "a,b").endswith("; several channels go into TWITCH_CHANNELS")
    assert CHANNELS.read("A, b\nc a") == ("a", "b", "c")


def test_accounts_of_channels() -> None:
    assert ACCOUNTS.read("A=main, b = second") == (("a", "main"), ("b", "second"))
    assert ACCOUNTS.write((("a", "main"), ("b", "second"))) == "a=main,b=second"
    for wrong in ("a", "a=", "a=b c", "=x"):
        assert refusal(ACCOUNTS, wrong).startswith("expected ")


def test_arguments_are_taken_apart_as_by_a_shell() -> None:
    assert ARGUMENTS.read("-f 'best[height<=720]' -v") == ("-f", "best[height<=720]", "-v")
    assert ARGUMENTS.write(("-f", "a b")) == "-f 'a b'"
    assert refusal(ARGUMENTS, "-f 'x").startswith("expected arguments quoted as for a shell")


def test_templates_have_only_known_placeholders() -> None:
    form = service_forms.template("YT_TITLE_TEMPLATE")
    assert form.read("{title} {{x}}\\n{url}") == "{title} {{x}}\n{url}"
    assert form.write("a\nb") == "a\\nb"
    assert refusal(form, "{titel}").startswith("it has an unknown placeholder {titel}; known are")
    assert "written twice" in refusal(form, "{title")
    assert "unknown placeholder" in refusal(form, "{title.__class__}")


def test_small_forms() -> None:
    assert CATEGORY.read("20") == "20"
    assert LANGUAGE.read("pt-BR") == "pt-BR"
    assert SCOPES.read("a  b,a") == ("a", "b")
    assert REDIRECT.read("http://localhost:1/x") == "http://localhost:1/x"
    assert TOKEN.read(" abc ") == "abc"
    for form, wrong in ((CATEGORY, "Gaming"), (LANGUAGE, "english!"), (REDIRECT, "localhost")):
        assert refusal(form, wrong).startswith("expected")
    assert refusal(TOKEN, "a b") == "expected text without spaces and control characters"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://vod@h:5432/vod?sslmode=disable",
        "postgres://h1,h2/vod",
        "host=/run/pg dbname=vod",
        "service=vod",
        "host=h password='a b' dbname=vod",
    ],
)
def test_an_address_of_a_database(dsn: str) -> None:
    assert DSN.read(f" {dsn}\t") == dsn


@pytest.mark.parametrize(
    "dsn", ["vod", "mysql://h/vod", "postgresql+psycopg://h/vod", "h:5432/vod"]
)
def test_what_is_no_address_of_a_database(dsn: str) -> None:
    assert refusal(DSN, dsn) == ("expected postgresql://USER@HOST:PORT/DATABASE or host=… dbname=…")


PASSWORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20
)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://vod@h/vod",
        "postgresql://vod:@h/vod",
        "postgresql://h/vod?sslmode=disable",
        "host=h dbname=vod user=vod",
    ],
)
@settings(deadline=None)
@given(password=PASSWORDS)
def test_a_password_completes_an_address_as_libpq_reads_it(dsn: str, password: str) -> None:
    complete = complete_dsn(dsn, password)
    read = psycopg.conninfo.conninfo_to_dict(complete)
    assert read["password"] == password
    assert read["host"] == "h"
    assert password in dsn_passwords(complete)


@pytest.mark.parametrize(
    ("dsn", "masked"),
    [
        ("postgresql://vod:s3cret@h/vod", "postgresql://vod:***@h/vod"),
        ("postgresql://vod:s3/cr@et@h/vod", "postgresql://vod:***@h/vod"),
        ("postgresql://vod@h/vod?password=s3cret&x=1", "postgresql://vod@h/vod?password=***&x=1"),
        ("host=h password=s3cret dbname=vod", "host=h password=*** dbname=vod"),
        ("host=h password = 's3 \\' cret' dbname=vod", "host=h password =*** dbname=vod"),
    ],
)
def test_an_address_that_has_a_password_keeps_it_and_is_shown_without(
    dsn: str, masked: str
) -> None:
    assert complete_dsn(dsn, "other") == dsn
    assert mask_dsn(dsn) == masked


def test_an_address_without_a_password_is_left_alone() -> None:
    assert complete_dsn("postgresql://h/vod", None) == "postgresql://h/vod"
    assert mask_dsn("postgresql://vod@h/vod") == "postgresql://vod@h/vod"


def test_percent_encoded_passwords_are_known_in_both_spellings() -> None:
    assert dsn_passwords("postgresql://vod:a%20b@h/vod") == ("a%20b", "a b")


@pytest.mark.parametrize(
    ("written", "read"),
    [("0 2 * * *", "0 2 * * *"), (" */15  1-5 1,15 * 0 ", "*/15 1-5 1,15 * 0"), ("OFF", "off")],
)
def test_a_schedule(written: str, read: str) -> None:
    assert service_forms.SCHEDULE.read(written) == read


@pytest.mark.parametrize(
    "written", ["", "daily", "0 2 * *", "60 2 * * *", "0 24 * * *", "5-1 * * * *", "*/0 * * * *"]
)
def test_what_is_no_schedule(written: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        service_forms.SCHEDULE.read(written)


def test_a_prefix_in_s3_ends_with_a_slash() -> None:
    read = service_forms.S3_PREFIX.read
    assert str(read("s3://bucket")) == "s3://bucket/"
    assert str(read("s3://bucket/a/b")) == "s3://bucket/a/b/"
    assert str(read("s3://bucket/a/") / "x") == "s3://bucket/a/x"
    for wrong in ("bucket/a", "https://bucket/a", "s3://", "s3://b", "s3://bucket//a"):
        with pytest.raises(ValueError, match="s3://bucket/prefix/"):
            read(wrong)
