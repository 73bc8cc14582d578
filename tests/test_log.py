"""The log: one safe line per event, in the form the runbook's pipelines read."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vodtender import log
from vodtender.config import redaction
from vodtender.errors import Locked, Transient

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=timezone(timedelta(hours=1)))
Configure = Callable[..., io.StringIO]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Sends the log to a buffer; afterwards logging is as it was."""
    root, ours = logging.getLogger(), logging.getLogger("vodtender")
    before = (root.level, ours.level)
    monkeypatch.setattr(redaction, "_hidden", ())

    def configured(level: str = "info", format: str = "text", stream: Any = None) -> io.StringIO:
        buffer = stream if stream is not None else io.StringIO()
        # The test runner's own handlers raise on what ours has to bear.
        root.handlers[:] = []
        log.configure(level, format, buffer, lambda: NOW)
        return buffer

    yield configured
    root.setLevel(before[0])
    ours.setLevel(before[1])
    root.handlers[:] = [one for one in root.handlers if not isinstance(one, log._Handler)]


def raised(error: Exception) -> Exception:
    """The same error with a traceback."""
    try:
        raise error  # noqa: TRY301 - for its traceback
    except Exception as caught:
        return caught


def test_a_line_has_time_level_component_message_and_fields(configure: Configure) -> None:
    out = configure()
    log.get("download").info("finished", vod="123", size_bytes=5, ok=True, title="a b", none=None)
    assert out.getvalue() == (
        '2026-11-23T10:00:00Z INFO download: finished vod=123 size_bytes=5 ok=true title="a b"\n'
    )


def test_json_has_the_keys_that_the_runbooks_log_pipeline_extracts(configure: Configure) -> None:
    out = configure(format="json")
    log.get("upload").warning(
        "quota exceeded", until=NOW, wait=timedelta(seconds=90), path=Path("a")
    )
    assert json.loads(out.getvalue()) == {
        "time": "2026-11-23T10:00:00Z",
        "level": "WARN",
        "component": "upload",
        "msg": "quota exceeded",
        "until": "2026-11-23T10:00:00Z",
        "wait": 90.0,
        "path": "a",
    }


@pytest.mark.parametrize(
    ("component", "message", "patterns"),
    [
        ("breaker", "circuit breaker open, skipping processing", ["circuit breaker open, skip"]),
        ("upload", "quota exceeded", ["upload", "error", "quota exceeded"]),
        ("upload", "uploadLimitExceeded", ["uploadLimitExceeded"]),
        ("yt-dlp", "a segment is gone", ["yt-dlp"]),
        ("chat", "chat recorder stopped", ["chat", "chat recorder stopped"]),
        ("daemon", "no space left on device", ["ERROR", "no space left on device"]),
    ],
)
@pytest.mark.parametrize("format", ["text", "json"])
def test_the_runbooks_greps_find_their_lines(
    configure: Configure, format: str, component: str, message: str, patterns: list[str]
) -> None:
    out = configure(format=format)
    log.get(component).error(message, vod="1")
    for pattern in patterns:
        assert re.search(pattern, out.getvalue(), re.IGNORECASE)


def test_levels_below_the_one_set_are_silent(configure: Configure) -> None:
    out = configure("warn")
    sink = log.get("x")
    sink.debug("a")
    sink.info("b")
    sink.warning("c")
    sink.error("d")
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["WARN", "ERROR"]


def test_bound_fields_are_on_every_line(configure: Configure) -> None:
    out = configure()
    bound = log.get("x").bind(vod="1").bind(channel="c")
    bound.info("m", channel="d")
    assert out.getvalue().endswith("x: m vod=1 channel=d\n")


def test_a_field_cannot_take_the_place_of_level_or_message(configure: Configure) -> None:
    out = configure(format="json")
    log.get("x").info("m", level="fake", msg="fake", time=1)
    event = json.loads(out.getvalue())
    assert (event["level"], event["msg"]) == ("INFO", "m")
    assert event["field_level"] == "fake"


def test_a_message_is_never_taken_for_a_format(configure: Configure) -> None:
    out = configure()
    log.get("x").info("100% %s %d", title="%s")
    assert "x: 100% %s %d title=%s\n" in out.getvalue()


def test_modules_that_use_the_standard_library_speak_the_same_way(configure: Configure) -> None:
    out = configure()
    logging.getLogger("vodtender.clients.twitch.helix").warning("page %d", 2)
    logging.getLogger("urllib3.connectionpool").warning("retrying %s", "x access_token=abc")
    logging.getLogger("urllib3.connectionpool").info("not shown")
    assert out.getvalue().splitlines() == [
        "2026-11-23T10:00:00Z WARN helix: page 2",
        "2026-11-23T10:00:00Z WARN urllib3: retrying x access_token=***",
    ]


def test_configured_twice_it_still_writes_once(configure: Configure) -> None:
    first, second = configure(), configure()
    log.get("x").info("m")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


# --- Nothing can be smuggled into it ------------------------------------------------------


@pytest.mark.parametrize("format", ["text", "json"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.text(), value=st.text())
def test_an_event_is_one_line_that_a_terminal_shows_as_it_is(
    configure: Configure, format: str, message: str, value: str
) -> None:
    out = configure(format=format)
    log.get("x").info(message, title=value)
    line = out.getvalue()
    assert line.endswith("\n")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]", line[:-1])
    line.encode()
    if format == "json":
        json.loads(line)


def test_a_title_cannot_pretend_to_be_another_event(configure: Configure) -> None:
    out = configure()
    title = 'x\n2026-11-23T10:00:00Z ERROR upload: forged\x1b[2J\u202e" vod=999'
    log.get("x").info("m", title=title, vod="1")
    assert out.getvalue() == (
        "2026-11-23T10:00:00Z INFO x: m title="
        '"x\\n2026-11-23T10:00:00Z ERROR upload: forged\\x1b[2J\\u202e\\" vod=999" vod=1\n'
    )


@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_are_masked_in_message_fields_and_exceptions(
    configure: Configure, format: str
) -> None:
    out = configure("debug", format)
    log.hide("hunter2-and-more")
    log.get("x").error(
        "says hunter2-and-more",
        exc=raised(RuntimeError("got hunter2-and-more and refresh_token=abcdef")),
        url="https://h/?upload_id=abcdef",
        nested={"password": "abcdef", "k": ["hunter2-and-more"]},
        access_token="abcdef",
        upload_uri="abcdef",
        db_dsn="abcdef",
    )
    said = out.getvalue()
    assert "hunter2" not in said
    assert "abcdef" not in said
    assert "RuntimeError" in said


def test_ordinary_fields_are_not_taken_for_secrets(configure: Configure) -> None:
    out = configure()
    log.get("x").info("m", tokens=3, key="circuit_state", code="auth_expired")
    assert out.getvalue().endswith("m tokens=3 key=circuit_state code=auth_expired\n")


def test_a_huge_value_is_cut_and_its_secrets_are_masked_before(configure: Configure) -> None:
    out = configure()
    log.hide("hunter2-and-more")
    log.get("x").info("m", body="a" * (16 * 1024 - 5) + "hunter2-and-more" + "b" * 1_000_000)
    assert len(out.getvalue()) < 17_000
    assert "hunter" not in out.getvalue()
    assert out.getvalue().endswith("a***bb…\n")


# --- Exceptions ---------------------------------------------------------------------------


def test_an_exception_is_named_and_its_traceback_kept_for_debug(configure: Configure) -> None:
    for level, lines in (("info", 1), ("debug", 4)):
        out = configure(level)
        log.get("x").error("m", exc=raised(ValueError("first\nsecond")))
        said = out.getvalue().splitlines()
        assert said[0].endswith('x: m error="ValueError: first\\nsecond"')
        assert len(said) >= lines
        assert all(line.startswith("    | ") for line in said[1:])
        assert ("Traceback" in out.getvalue()) is (level == "debug")


def test_our_own_errors_speak_for_themselves(configure: Configure) -> None:
    out = configure()
    log.get("x").warning("later", exc=Transient("Twitch is away", code="twitch_5xx"))
    log.get("x").error("stopped", exc=Locked("in use", hint="wait", runbook="db-down"), code="c")
    assert [line.partition("x: ")[2] for line in out.getvalue().splitlines()] == [
        'later error="Twitch is away" code=twitch_5xx',
        'stopped code=c error="in use" hint=wait runbook=db-down',
    ]


# --- It is never in the way -----------------------------------------------------------------


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_a_value_that_cannot_be_written_does_not_cost_the_event(configure: Configure) -> None:
    out = configure()
    log.get("x").info("m", value=_Hostile(), number=float("nan"))
    logging.getLogger("vodtender.x").warning("two %s %s", *["one"])
    assert out.getvalue().splitlines()[0].endswith("x: m value=<_Hostile> number=nan")
    assert out.getvalue().splitlines()[1].endswith("x: two %s %s")


class _Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def write(self, text: str) -> int:
        if self.error:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed file")]
)
def test_a_log_that_cannot_be_written_disturbs_nobody_and_comes_back(
    configure: Configure, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = _Broken(error)
    configure(stream=stream)
    log.get("x").info("lost")
    stream.error = None
    log.get("x").info("written")
    assert stream.getvalue() == "2026-11-23T10:00:00Z INFO x: written\n"
    assert capsys.readouterr().err == ""


def test_a_stream_that_knows_only_ascii_gets_ascii(configure: Configure) -> None:
    raw = io.BytesIO()
    configure(stream=io.TextIOWrapper(raw, encoding="ascii"))
    log.get("x").info("m", title="Ünï🎮")
    assert raw.getvalue().endswith(b"x: m title=\\xdcn\\xef\\U0001f3ae\n")


def test_a_closed_pipe_ends_no_process() -> None:
    """As in `vodtender run 2>&1 | head -1`."""
    code = (
        "import sys; from vodtender import log; log.configure(stream=sys.stderr)\n"
        "for _ in range(50): log.get('x').info('m' * 5000)\n"
        "print('alive', flush=True)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], stderr=writer, stdout=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stdout == "alive\n"


def test_lines_of_several_threads_do_not_mix(configure: Configure) -> None:
    out = configure(format="json")

    def write(n: int) -> None:
        for _ in range(50):
            log.get("x").info("m" * 200, n=n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    lines = out.getvalue().splitlines()
    assert len(lines) == 200
    assert {json.loads(line)["n"] for line in lines} == {0, 1, 2, 3}


def test_without_a_clock_the_time_is_that_of_the_event(configure: Configure) -> None:
    configure()
    out = io.StringIO()
    log.configure(stream=out)
    before = datetime.now(UTC).replace(microsecond=0)
    log.get("x").info("m")
    said = datetime.strptime(out.getvalue().split()[0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= said <= datetime.now(UTC)
