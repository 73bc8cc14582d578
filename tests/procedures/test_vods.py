"""`vods` and `vods show`: what is listed, in which order, and what is said of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.archive import BEGAN, VIDEO, Archive
from vodtender.cli.output import plain
from vodtender.config.settings import Settings
from vodtender.errors import NotFound, UsageError
from vodtender.model.breaker import Breaker
from vodtender.model.vod import STATES
from vodtender.procedures import retry
from vodtender.procedures.vods import Details, as_document, details, details_document, listing
from vodtender.store import breaker, claims, pause, tokens, workers
from vodtender.store.claims import Progress
from vodtender.store.tokens import StoredTokens
from vodtender.store.vods import Filter

DAY = timedelta(days=1)
LATER = datetime(2099, 1, 1, tzinfo=UTC)
QUEUED_TO_HELD: dict[str, tuple[str, dict[str, Any]]] = {
    "retrying": ("queued", {"problem": "it broke"}),
    "held": ("downloaded", {"problem": "the quota"}),
    "kept": ("downloaded", {"skip_upload": True}),
}


def found(archive: Archive, *, limit: int | None = None, **wanted: Any) -> list[str]:
    listed = listing(archive.database, Filter(**wanted), limit)
    return [vod.twitch_vod_id for vod in listed.vods]


class TestListing:
    def test_the_newest_stream_comes_first_however_it_was_found(self, archive: Archive) -> None:
        archive.add("1", date=BEGAN)
        archive.add("2", date=BEGAN + DAY)
        archive.add("3", date=BEGAN - DAY)
        archive.add("4", date=None)  # counts from when it was found
        assert found(archive) == ["4", "2", "1", "3"]

    def test_every_state_can_be_asked_for_and_no_other(self, archive: Archive) -> None:
        for number, state in enumerate(STATES, 1):
            stage, columns = QUEUED_TO_HELD.get(state, (state, {}))
            archive.add(str(number), stage if state != "downloading" else "queued", **columns)
        archive.claim(str(1 + STATES.index("downloading")))
        for number, state in enumerate(STATES, 1):
            assert found(archive, states=(state,)) == [str(number)], state
        assert len(found(archive, states=STATES)) == len(STATES)
        with pytest.raises(UsageError, match="'lost' is no state") as caught:
            found(archive, states=("failed", "lost"))
        assert "finalizing" in caught.value.hint

    def test_by_error_whatever_its_case_and_its_special_characters(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="HTTP 403: 50%_done")
        archive.add("2", "failed", problem="HTTP 404: 50 done")
        archive.add("3")
        assert found(archive, error_text="http 403") == ["1"]
        assert found(archive, error_text="50%_") == ["1"]

    def test_by_channel_and_age(self, archive: Archive) -> None:
        archive.add("1", channel="alice", date=BEGAN)
        archive.add("2", channel="alice", date=BEGAN + DAY)
        archive.add("3", channel="bob", date=BEGAN + DAY)
        assert found(archive, channel="alice") == ["2", "1"]
        assert found(archive, began_after=BEGAN, channel="alice") == ["2"]
        assert found(archive, began_before=BEGAN + DAY) == ["1"]
        archive.set("1", created_at=BEGAN)
        assert found(archive, created_after=BEGAN + DAY) == ["3", "2"]

    def test_failed_is_what_retry_failed_takes(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="no")
        archive.add("2", problem="it broke")
        archive.add("3", "downloaded", problem="full", problem_code="quota")
        archive.add("4", "skipped", problem="boring")
        archive.add("5")
        tally = retry.retry_failed(archive.database, actor="a", reason=None, dry_run=True)
        assert found(archive, failed=True) == [change.target for change in tally.changes]
        assert found(archive, failed=True) == ["2", "1"]

    def test_a_limit_leaves_the_total_known(self, archive: Archive) -> None:
        for number in range(5):
            archive.add(str(number + 1))
        listed = listing(archive.database, Filter(), 2)
        assert (len(listed.vods), listed.total) == (2, 5)
        assert listing(archive.database, Filter(), None).total == 5


def show(archive: Archive, vod_id: str = "1", **settings: Any) -> Details:
    return details(archive.database, Settings(**settings), vod_id)


def start_daemon(archive: Archive) -> None:
    with archive.connection() as connection:
        workers.register(
            connection,
            worker_id="worker-1",
            host="h",
            pid=1,
            version="1",
            directory_id="d",
            directory="/data",
            channels=[],
        )


def log_in(archive: Archive, problem: str | None = None) -> None:
    with archive.connection() as connection:
        tokens.put(
            connection,
            StoredTokens(
                "youtube",
                "default",
                "sealed",
                "sealed",
                None,
                "123-x",
                LATER,
                "",
                None,
                None,
                problem,
            ),
        )


class TestShow:
    def test_everything_that_has_happened_is_told_with_who_did_it(self, archive: Archive) -> None:
        archive.add("1")
        archive.claim("1")
        with archive.connection() as connection:
            claims.release_all(connection, "worker-1")
        archive.set("1", stage="failed", problem="no")
        retry.retry(archive.database, ["1"], actor="alice@host", reason="why not", dry_run=False)
        seen = show(archive)
        steps = [(line.actor, line.from_stage, line.to_stage) for line in seen.history]
        assert steps[-4:] == [
            ("worker-1", "queued", "downloading"),
            ("worker-1", "downloading", "queued"),
            ("vodtender", "queued", "failed"),
            ("alice@host", "failed", "queued"),
        ]
        (change,) = seen.changes
        assert (change.actor, change.action, change.reason) == ("alice@host", "retry", "why not")

    def test_an_open_session_is_shown_without_its_address(self, archive: Archive) -> None:
        archive.add("1", "uploading")
        archive.open_session("1", session_uri="https://upload.example/?upload_id=secret")
        document = details_document(show(archive))
        (upload,) = document["uploads"]
        assert upload == {
            "part": 1,
            "parts": 1,
            "account": "default",
            "marker": "vodtender:1",
            "video_id": None,
            "session_open": True,
            "may_be_complete": False,
            "size_bytes": 1000,
            "opened_at": BEGAN,
        }
        assert "upload.example" not in str(document)

    def test_what_moves_is_told_with_the_time_left(self, archive: Archive) -> None:
        archive.add("1")
        claim = archive.claim("1")
        with archive.connection() as connection:
            claims.renew(connection, claim, 60, Progress("download", "fetching", 250, 1000, 75.0))
        moving = details_document(show(archive))["moving"]
        assert (moving["done_bytes"], moving["total_bytes"], moving["left_seconds"]) == (
            250,
            1000,
            10.0,
        )

    def test_the_file_is_told_and_that_it_was_removed(self, archive: Archive) -> None:
        archive.add("1", "published", gaps=["segment 7"], muted_segments=2)
        file = as_document(archive.get("1"))["file"]
        assert file["path"] == "/data/title_1.mp4"
        assert (file["size_bytes"], file["duration_seconds"]) == (1000, 60.0)
        assert (file["gaps"], file["muted_segments"]) == (("segment 7",), 2)
        archive.set("1", downloaded_path=None, directory_id=None, file_removed_at=BEGAN)
        file = as_document(archive.get("1"))["file"]
        assert (file["path"], file["removed_at"]) == (None, BEGAN)
        archive.add("2")
        assert as_document(archive.get("2"))["file"] is None

    def test_the_document_is_as_the_contract_has_it(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="no", problem_code="x")
        document = plain(details_document(show(archive)))
        assert document["vod_id"] == "1"
        assert document["date"] == "2026-03-01T12:00:00Z"
        assert (document["uploads"], document["changes"]) == ([], [])
        assert document["next"]["commands"] == ["vodtender retry 1", "vodtender skip 1"]

    def test_an_unknown_vod_is_not_found(self, archive: Archive) -> None:
        with pytest.raises(NotFound, match="There is no VOD 9"):
            show(archive, "9")


class TestWhatHappensNext:
    @pytest.mark.parametrize(
        ("stage", "columns", "text", "command"),
        [
            ("live", {}, "Twitch still records it", None),
            ("queued", {}, "it comes down when its turn comes", None),
            (
                "queued",
                {"vanishes_at": datetime(2026, 1, 1, tzinfo=UTC)},
                "Twitch deletes it at 2026-01-01 00:00 UTC",
                "vodtender priority 1 100",
            ),
            (
                "queued",
                {"problem": "it broke", "next_try_at": LATER},
                "it is tried again at 2099-01-01 00:00 UTC",
                "vodtender retry 1",
            ),
            ("downloaded", {}, "it goes up when its turn comes", None),
            ("uploading", {}, "it goes up when its turn comes", None),
            ("downloaded", {"skip_upload": True}, "only kept", "vodtender add 1 --upload"),
            (
                "finalizing",
                {"uncertain_since": BEGAN, "next_try_at": LATER},
                "YouTube is asked at 2099-01-01 00:00 UTC whether it has the video; if it has not"
                " appeared by 2026-03-01 13:00 UTC, it is uploaded again",
                "vodtender resolve 1 --not-uploaded",
            ),
            ("verifying", {"next_try_at": LATER}, "YouTube is asked at 2099", None),
            ("published", {}, "nothing: it is done", None),
            ("failed", {"problem": "no"}, "until somebody acts", "vodtender retry 1"),
            (
                "failed",
                {"problem": "holes", "problem_code": "segments_gone"},
                "until somebody acts",
                "vodtender retry 1 --allow-gaps",
            ),
            (
                "failed",
                {"problem": "no", "problem_code": "subscriber_only"},
                "until somebody acts",
                "vodtender auth import cookies FILE   (of a subscriber)",
            ),
            ("skipped", {"problem": "no"}, "it was skipped", "vodtender reprocess 1   (after all)"),
        ],
    )
    def test_each_state_says_what_comes_and_what_to_type(
        self, archive: Archive, stage: str, columns: dict[str, Any], text: str, command: str | None
    ) -> None:
        start_daemon(archive)
        log_in(archive)
        archive.add("1", stage, **columns)
        step = show(archive).next
        assert text in step.text
        assert command in step.commands if command else step.commands == ()

    def test_nothing_comes_while_no_daemon_runs(self, archive: Archive) -> None:
        archive.add("1")
        step = show(archive).next
        assert step.text == "it waits: no daemon is running"
        assert step.commands == ("vodtender run",)

    def test_a_pause_keeps_it(self, archive: Archive) -> None:
        archive.add("1")
        start_daemon(archive)
        with archive.connection() as connection:
            pause.begin(connection, "moving house")
        step = show(archive).next
        assert step.text == "it waits: processing is paused: moving house"
        assert step.commands == ("vodtender resume",)

    def test_its_channels_breaker_keeps_it(self, archive: Archive) -> None:
        archive.add("1")
        start_daemon(archive)
        with archive.connection() as connection:
            breaker.put(connection, Breaker("c1", "open", 5, LATER))
        step = show(archive).next
        assert "the circuit breaker of c1 is open; one VOD is tried at 2099-01-01" in step.text
        assert step.commands == ("vodtender breaker reset   (once the cause is mended)",)

    def test_a_worker_has_it_in_hand(self, archive: Archive) -> None:
        archive.add("1")
        archive.claim("1")
        step = show(archive).next
        assert step.text == "worker worker-1 has it in hand"
        assert step.commands == ("vodtender cancel 1",)
        archive.set("1", cancel_reason="boring")
        assert show(archive).next.text == "worker worker-1 stops, and it is skipped"

    def test_an_upload_waits_for_a_login(self, archive: Archive) -> None:
        archive.add("1", "downloaded")
        start_daemon(archive)
        assert show(archive).next.commands == ("vodtender auth login youtube",)
        log_in(archive, problem="revoked")
        step = show(archive, yt_channel_accounts=(("c1", "default"),)).next
        assert step.text == "it waits: YouTube account default: revoked"
        step = show(archive, yt_channel_accounts=(("c1", "second"),)).next
        assert step.text == "it waits: YouTube account second: nobody has logged in"
        assert step.commands == ("vodtender auth login youtube --account second",)

    @pytest.mark.parametrize("stage", ["finalizing", "verifying"])
    def test_youtube_cannot_be_asked_about_an_upload_without_its_accounts_login(
        self, archive: Archive, stage: str
    ) -> None:
        archive.add("1", stage)
        archive.open_session("1")
        start_daemon(archive)
        log_in(archive, problem="revoked")
        step = show(archive, yt_channel_accounts=(("c1", "second"),)).next
        assert step.text == "it waits: YouTube account default: revoked"
        assert step.commands[0] == "vodtender auth login youtube"
        resolving = [command for command in step.commands if "resolve 1" in command]
        assert len(resolving) == (2 if stage == "finalizing" else 0)

    def test_an_upload_waits_for_its_accounts_quota(self, archive: Archive) -> None:
        archive.add("1", "downloaded", problem="the quota", problem_code="quota")
        start_daemon(archive)
        log_in(archive)
        archive.hold_account()
        step = show(archive).next
        assert (
            step.text == "it waits: uploads of account default are held until 2099-01-01 00:00 UTC"
        )
        assert step.commands == ("vodtender retry --quota",)

    def test_a_published_vod_names_its_video(self, archive: Archive) -> None:
        archive.add("1", "published", published_at=BEGAN)
        document = as_document(archive.get("1"))
        assert document["youtube_url"] == f"https://www.youtube.com/watch?v={VIDEO}"
        assert document["published_at"] == BEGAN
