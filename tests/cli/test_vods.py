"""The commands about VODs, as they are typed."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.outside import ROOT
from tests.archive import VIDEO, Archive
from tests.cli.commands import Type, in_a_shell
from tests.pipeline.publisher import log_in
from tests.sandbox.world import World
from tests.terminal import Terminal
from vodtender.procedures.actor import operator

URL = "https://www.twitch.tv/videos/1"
CHANGING = [
    ("retry", "1"),
    ("reprocess", "1"),
    ("skip", "1"),
    ("cancel", "1"),
    ("priority", "1", "5"),
    ("add", "1", "--skip-upload"),
    ("resolve", "1", "--uploaded", VIDEO),
]
NAMING = [*CHANGING, ("vods", "show", "1")]


class TestAll:
    @pytest.mark.parametrize("command", [c for c in NAMING if c[0] != "add"], ids=" ".join)
    def test_an_unknown_vod_exits_with_7_and_names_it(
        self, type_in: Type, command: tuple[str, ...]
    ) -> None:
        ran = type_in(*command)
        assert (ran.status, "There is no VOD 1 in the archive." in ran.err) == (7, True)
        assert "vodtender vods" in ran.err

    @pytest.mark.parametrize("command", NAMING, ids=" ".join)
    @pytest.mark.parametrize("garbage", ["garbage", "https://clips.twitch.tv/Slug", "1; DROP"])
    def test_garbage_exits_with_2_and_says_what_an_id_looks_like(
        self, type_in: Type, command: tuple[str, ...], garbage: str
    ) -> None:
        ran = type_in(*(garbage if word == "1" else word for word in command))
        assert ran.status == 2
        assert "names no Twitch VOD" in ran.err
        assert "https://www.twitch.tv/videos/NUMBER" in ran.err

    @pytest.mark.parametrize("command", NAMING, ids=" ".join)
    @pytest.mark.parametrize("form", [URL, f"{URL}?t=1h", "v1", "https://m.twitch.tv/videos/1"])
    def test_an_address_stands_for_the_number(
        self, archive: Archive, type_in: Type, command: tuple[str, ...], form: str
    ) -> None:
        archive.add("1", "failed", problem="no")
        ran = type_in(*(form if word == "1" else word for word in command))
        assert (ran.status, "error" in ran.err) == (0, False)
        assert ran.lines[0].startswith(("1: ", "VOD 1 "))

    @pytest.mark.parametrize("command", CHANGING, ids=" ".join)
    def test_a_dry_run_says_what_would_be_and_changes_nothing(
        self, archive: Archive, type_in: Type, command: tuple[str, ...]
    ) -> None:
        archive.add("1", "failed", problem="no")
        before = archive.get("1")
        ran = type_in(*command, "--dry-run")
        assert (ran.status, "error" in ran.err) == (0, False)
        assert ran.lines[0].startswith("1: would change: ")
        assert ran.lines[-1] == "Nothing was changed (--dry-run)."
        assert archive.get("1") == before
        assert archive.audit() == []

    @pytest.mark.parametrize("command", CHANGING, ids=" ".join)
    def test_before_and_after_are_shown_as_json_too_and_twice_is_once(
        self, archive: Archive, type_in: Type, command: tuple[str, ...]
    ) -> None:
        archive.add("1", "failed", problem="no")
        ran = type_in(*command, "--json", "--reason", "a test")
        assert (ran.status, "error" in ran.err) == (0, False)
        (change,) = ran.document["changes"]
        assert (change["target"], change["changed"]) == ("1", True)
        assert change["before"]["state"] == "failed"
        again = type_in(*command, "--json")
        assert (again.status, again.document["changes"][0]["changed"]) == (0, False)
        (line,) = archive.audit()
        assert (line.actor, line.action, line.reason) == (operator(), command[0], "a test")

    @pytest.mark.parametrize("command", CHANGING, ids=" ".join)
    def test_the_database_away_exits_with_5(
        self, type_in: Type, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("DB_DSN", "postgresql://vod@127.0.0.1:1/vod")
        ran = type_in(*command)
        assert ran.status == 5
        assert "The database cannot be reached" in ran.err

    @pytest.mark.parametrize("command", ["retry", "reprocess", "skip", "cancel"])
    def test_some_done_and_some_not_exits_with_3(
        self, archive: Archive, type_in: Type, command: str
    ) -> None:
        archive.add("1", "failed", problem="no")
        ran = type_in(command, "1", "8", "9", "--json")
        assert ran.status == 3
        assert [change["target"] for change in ran.document["changes"]] == ["1"]
        told = json.loads(ran.err)
        assert (told["error"], told["exit"]) == ("partly_done", 3)
        assert "no VOD 8" in told["message"]
        assert "no VOD 9" in told["message"]
        assert archive.stage("1") != "failed"


class TestObstacles:
    """What was set going and cannot go says so, else the operator waits for nothing."""

    @pytest.mark.parametrize("command", [("retry", "1"), ("reprocess", "1"), ("add", "2")])
    def test_no_daemon(self, archive: Archive, type_in: Type, command: tuple[str, ...]) -> None:
        archive.add("1", "failed", problem="no")
        assert type_in(*command, "--dry-run").err == ""
        assert type_in(*command).err == "it waits: no daemon is running; type: vodtender run\n"
        assert type_in(*command).err == ""

    def test_each_is_told_once_and_not_among_json(self, archive: Archive, type_in: Type) -> None:
        for vod_id in ("1", "2", "3"):
            archive.add(vod_id, "failed", problem="no")
        type_in("pause", "--reason", "moving house")
        ran = type_in("retry", "1", "2")
        assert ran.err == ("it waits: processing is paused: moving house; type: vodtender resume\n")
        assert type_in("retry", "3", "--json").err == ""


class TestRetry:
    @pytest.mark.parametrize(
        "arguments",
        [(), ("1", "--quota"), ("1", "--failed"), ("--quota", "--failed"), ("1", "--since", "1h")],
    )
    def test_vods_are_chosen_in_one_way(self, type_in: Type, arguments: tuple[str, ...]) -> None:
        ran = type_in("retry", *arguments)
        assert ran.status == 2
        assert "--failed" in ran.err

    def test_all_that_failed(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "failed", problem="no")
        archive.add("2")
        ran = type_in("retry", "--failed")
        assert (ran.status, len(ran.lines)) == (0, 1)
        assert ran.out == "1: state failed -> queued, processing_error no -> none\n"
        assert type_in("retry", "--failed").out == "nothing to do\n"

    def test_those_that_failed_lately(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "failed", problem="no")
        archive.set("1", updated_at=datetime(2026, 1, 1, tzinfo=UTC))
        archive.add("2", "failed", problem="no")
        assert type_in("retry", "--since", "24h").lines[0].startswith("2: ")
        assert archive.stage("1") == "failed"
        assert type_in("retry", "--since", "yesterday").status == 2

    def test_what_the_quota_holds(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "downloaded", problem="the quota", problem_code="quota")
        archive.hold_account()
        assert [line.split(":")[0] for line in type_in("retry", "--quota").lines] == [
            "YouTube account default",
            "1",
        ]
        assert archive.held_accounts() == []

    def test_gaps_are_accepted(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "failed", problem="holes", problem_code="segments_gone")
        assert "allow_gaps no -> yes" in type_in("retry", "1", "--allow-gaps").out

    def test_a_skipped_one_exits_with_6(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "skipped", problem="boring")
        ran = type_in("retry", "1")
        assert ran.status == 6
        assert "was skipped: boring" in ran.err
        assert "vodtender reprocess 1" in ran.err


class TestReprocess:
    def test_all_that_were_found_lately_only_with_yes(
        self, archive: Archive, type_in: Type
    ) -> None:
        archive.add("1", "published")
        archive.add("2", "failed", problem="no")
        refused = type_in("reprocess", "--since", "24h")
        assert refused.status == 6
        assert "Send 2 VODs the whole way again?" in refused.err
        assert "--yes" in refused.err
        assert archive.stage("1") == "published"
        assert type_in("reprocess", "--since", "24h", "--dry-run").status == 0
        assert type_in("reprocess", "--since", "24h", "--yes").status == 0
        assert (archive.stage("1"), archive.stage("2")) == ("queued", "queued")

    def test_nothing_found_lately_is_nothing_to_ask(self, type_in: Type) -> None:
        ran = type_in("reprocess", "--since", "24h")
        assert (ran.status, ran.out) == (0, "nothing to do\n")

    @pytest.mark.parametrize("arguments", [(), ("1", "--since", "1h")])
    def test_vods_are_chosen_in_one_way(self, type_in: Type, arguments: tuple[str, ...]) -> None:
        assert type_in("reprocess", *arguments).status == 2


class TestCancel:
    def test_it_waits_until_the_worker_has_stopped(self, archive: Archive, type_in: Type) -> None:
        archive.add("1")
        archive.claim("1")

        def stop() -> None:
            """What a worker does that hears of it."""
            while archive_of_worker.get("1").cancel_reason is None:
                threading.Event().wait(0.02)
            archive_of_worker.set(
                "1",
                stage="skipped",
                worker_id=None,
                lease_expires_at=None,
                cancel_reason=None,
            )

        archive_of_worker = Archive(archive.dsn)
        worker = threading.Thread(target=stop, daemon=True)
        worker.start()
        ran = type_in("cancel", "1", "--reason", "boring")
        worker.join(10)
        archive_of_worker.database.close()
        assert (ran.status, ran.err) == (0, "")
        assert ran.out == "1: cancel_reason none -> boring (its worker stops within seconds)\n"

    def test_a_worker_that_does_not_hear_is_named(
        self, archive: Archive, type_in: Type, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vodtender.cli.cancel.PATIENCE_SECONDS", 0.0)
        archive.add("1")
        archive.claim("1")
        ran = type_in("cancel", "1")
        assert ran.status == 0
        assert "1: its worker has not stopped yet" in ran.err
        assert archive.get("1").cancel_reason == f"cancelled by {operator()}"


class TestPriority:
    def test_it_may_be_negative(self, archive: Archive, type_in: Type) -> None:
        archive.add("1")
        assert type_in("priority", "1", "-5").out == "1: priority 0 -> -5\n"
        assert archive.get("1").priority == -5

    @pytest.mark.parametrize("number", ["x", "1.5", "99999999999", "--five", ""])
    def test_anything_but_a_number_exits_with_2(self, type_in: Type, number: str) -> None:
        assert type_in("priority", "1", number).status == 2


class TestAdd:
    def test_several_forms_and_options(self, archive: Archive, type_in: Type) -> None:
        ran = type_in(
            "add", URL, "v2", "https://www.twitch.tv/alice/v/3", "--skip-upload", "--priority", "7"
        )
        assert ran.lines == [
            f"{number}: state none -> queued, skip_upload none -> yes, priority none -> 7"
            for number in (1, 2, 3)
        ]
        assert archive.get("3").skip_upload

    def test_it_can_be_uploaded_after_all(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "downloaded", skip_upload=True)
        ran = type_in("add", "1", "--upload")
        assert ran.out == (
            "1: state kept -> downloaded, skip_upload yes -> no (known already, kept)\n"
        )


class TestResolve:
    @pytest.mark.parametrize(
        "arguments", [(), ("--uploaded", VIDEO, "--not-uploaded"), ("--uploaded", "garbage")]
    )
    def test_it_wants_one_clear_word(self, type_in: Type, arguments: tuple[str, ...]) -> None:
        assert type_in("resolve", "1", *arguments).status == 2

    def test_it_asks_what_it_was_not_told(self, type_in: Type) -> None:
        ran = type_in("resolve", "1")
        assert "Is VOD 1 on YouTube or not?" in ran.err
        assert "give --uploaded VIDEO or --not-uploaded" in ran.err

    @pytest.mark.parametrize("video", [VIDEO, f"https://youtu.be/{VIDEO}?si=x"])
    def test_a_video_by_id_or_address(self, archive: Archive, type_in: Type, video: str) -> None:
        archive.add("1", "finalizing", problem="who knows")
        ran = type_in("resolve", "1", "--uploaded", video)
        assert ran.status == 0
        assert "state finalizing -> verifying" in ran.out
        assert archive.get("1").video_id == VIDEO

    def test_a_doubtful_video_only_with_yes(
        self, archive: Archive, type_in: Type, in_world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("YT_CLIENT_ID", "YT_CLIENT_SECRET"):
            monkeypatch.setenv(name, in_world.settings()[name])
        log_in(archive.database, in_world)
        archive.add("1", "finalizing", problem="who knows")
        command = ("resolve", "1", "--uploaded", VIDEO)
        refused = type_in(*command)
        assert refused.status == 6
        assert f"YouTube shows no video {VIDEO} to account 'default'." in refused.err
        assert "--yes" in refused.err
        rehearsed = type_in(*command, "--dry-run")
        assert (rehearsed.status, f"no video {VIDEO}" in rehearsed.err) == (0, True)
        assert archive.stage("1") == "finalizing"
        assert type_in(*command, "--yes").status == 0
        assert archive.stage("1") == "verifying"

    def test_not_uploaded(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "finalizing", problem="who knows")
        ran = type_in("resolve", "1", "--not-uploaded")
        assert ran.status == 0
        assert "state finalizing -> downloaded" in ran.out

    def test_what_is_confirmed_exits_with_6(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "published")
        ran = type_in("resolve", "1", "--not-uploaded", "--json")
        assert ran.status == 6
        assert json.loads(ran.err)["error"] == "confirmed"


class TestList:
    def test_a_table_that_a_script_can_read(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "failed", problem="no [bold]way[/bold]\x1b[2J", title="A [live] one")
        archive.add("2", duration_seconds=7300)
        header, second, first = type_in("vods").lines
        names = ("VOD", "STATE", "CHANNEL", "BEGAN (UTC)", "LENGTH", "TITLE", "PROBLEM")
        assert tuple(re.split(r" {2,}", header)) == names
        assert second.split("  ")[0] == "2"
        assert "2 h 1 min" in second
        assert first.endswith("A [live] one  no [bold]way[/bold]\\x1b[2J")

    def test_on_a_terminal_of_80_columns_titles_and_problems_are_legible(
        self, archive: Archive, tmp_path: Path
    ) -> None:
        archive.add("2300000001", "failed", channel="alice", problem="no way", title="A fine one")
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DB_DSN": archive.dsn}
        command = (sys.executable, "-m", "vodtender", "vods")
        with Terminal(command, environ=environ, directory=tmp_path, columns=80) as terminal:
            assert terminal.wait() == 0
        _, row, below = terminal.text.splitlines()
        assert row.endswith("A fine one")
        assert below == "    no way"

    def test_one_document(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "failed", problem="no")
        archive.add("2")
        document = type_in("vods", "--json", "--limit", "1").document
        assert document["total"] == 2
        (vod,) = document["vods"]
        assert (vod["vod_id"], vod["state"], vod["date"]) == ("2", "queued", "2026-03-01T12:00:00Z")
        assert type_in("vods", "--json", "--state", "live").document == {"vods": [], "total": 0}

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--state", "failed,queued"), ["2", "1"]),
            (("--state", "failed", "--state", "queued"), ["2", "1"]),
            (("--failed",), ["1"]),
            (("--error", "NO"), ["1"]),
            (("--channel", "C2"), ["2"]),
            (("--since", "2026-03-01"), ["2", "1"]),
            (("--before", "2026-03-01"), []),
            (("--found-since", "1h"), ["2", "1"]),
            (("--since", "1h"), []),
        ],
    )
    def test_what_is_asked_for(
        self, archive: Archive, type_in: Type, arguments: tuple[str, ...], expected: list[str]
    ) -> None:
        archive.add("1", "failed", problem="no")
        archive.add("2")
        found = type_in("vods", "--json", *arguments).document["vods"]
        assert [vod["vod_id"] for vod in found] == expected

    def test_what_is_left_out_is_said(self, archive: Archive, type_in: Type) -> None:
        archive.add("1")
        archive.add("2")
        ran = type_in("vods", "--limit", "1")
        assert ran.err == "1 of 2; the others: --limit 0\n"
        assert type_in("vods", "--limit", "0").err == ""

    def test_nothing_is_said_in_words(self, archive: Archive, type_in: Type) -> None:
        assert type_in("vods").out == "There are no VODs yet.\n"
        archive.add("1")
        assert type_in("vods", "--state", "failed").out == "No VOD fits.\n"

    @pytest.mark.parametrize(
        "arguments",
        [("--state", "lost"), ("--since", "yesterday"), ("--limit", "-1"), ("--error",)],
    )
    def test_what_makes_no_sense_exits_with_2(
        self, type_in: Type, arguments: tuple[str, ...]
    ) -> None:
        assert type_in("vods", *arguments).status == 2


class TestShow:
    def test_how_it_stands_and_what_to_type_come_first(
        self, archive: Archive, type_in: Type
    ) -> None:
        archive.add("1", "finalizing", problem="who knows", title="A [live] one\x1b[2J")
        archive.open_session("1")
        type_in("retry", "1", "--reason", "impatience")
        ran = type_in("vods", "show", "1")
        assert (ran.status, ran.err) == (0, "")
        assert ran.lines[:3] == [
            "VOD 1  A [live] one\\x1b[2J",
            "  state      finalizing",
            "  next       it waits: YouTube account default: nobody has logged in",
        ]
        assert "  type       vodtender auth login youtube" in ran.lines
        assert "  type       vodtender resolve 1 --uploaded VIDEO" in ran.lines
        assert "its description will say vodtender:1" in ran.out
        assert f"{operator()}: vodtender retry (impatience)" in ran.out

    def test_one_document(self, archive: Archive, type_in: Type) -> None:
        archive.add("1", "published")
        document = type_in("vods", "show", "1", "--json").document
        assert (document["vod_id"], document["state"]) == ("1", "published")
        assert document["next"] == {"text": "nothing: it is done", "commands": []}
        assert all(line["at"].endswith("Z") for line in document["history"])


def test_as_an_operator_runs_it(archive: Archive, tmp_path: Path) -> None:
    archive.add("1", "failed", problem="no")
    assert in_a_shell(archive, tmp_path, "vods", "show", "1").status == 0
    ran = in_a_shell(archive, tmp_path, "retry", "1", "9")
    assert ran.status == 3
    assert ran.out == "1: state failed -> queued, processing_error no -> none\n"
    assert "There is no VOD 9" in ran.err
    assert "Traceback" not in ran.err
