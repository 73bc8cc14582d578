"""The resumable upload against the sandbox: every way in which it can break off."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.faults import Fault
from tests.sandbox.wire import Response
from tests.sandbox.world import World
from vodtender.clients.youtube.api import YouTube
from vodtender.errors import AuthExpired, RateLimited, Rejected, Stopped, Transient, Uncertain
from vodtender.model.video_metadata import Presentation, VideoMetadata, VodFacts, compose
from vodtender.model.youtube_answers import SessionAt, SessionDone, SessionGone

KIB = 1024
CHUNK = 256 * KIB
SIZE = 5 * CHUNK + 1000
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
UPLOAD: dict[str, Any] = {"path": "*/upload/*", "method": "PUT"}


class Account:
    """One account's client in the sandbox, and a file to upload."""

    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        self.path = path
        self.units = 0
        self.progress: list[int] = []
        self.before_last: list[int] = []
        self.tokens_refused = 0
        self._token = world.google.issue(world.account)
        self.youtube = YouTube(
            self._current, clock=lambda: NOW, on_units=self._count, upload_cost_units=1600
        )

    def _current(self, refused: str | None) -> str:
        if refused == self._token:
            self.tokens_refused += 1
            self._token = self.world.google.issue(self.world.account)
        return self._token

    def _count(self, units: int) -> None:
        self.units += units

    def open(self) -> str:
        return self.youtube.open_session(metadata(), self.path.stat().st_size, "video/mp4")

    def send(
        self,
        uri: str,
        start: int = 0,
        *,
        size_bytes: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        rate_limit: int | None = None,
    ) -> str:
        return self.youtube.send(
            uri,
            self.path,
            self.path.stat().st_size if size_bytes is None else size_bytes,
            start,
            chunk_bytes=CHUNK,
            on_progress=self.progress.append,
            on_last=lambda: self.before_last.append(self.progress[-1] if self.progress else start),
            should_stop=should_stop,
            rate_limit=rate_limit,
        )

    def ask(self, uri: str) -> SessionAt | SessionDone | SessionGone:
        return self.youtube.ask_session(uri, self.path.stat().st_size)

    def assert_one_whole_video(self, video_id: str) -> None:
        [video] = self.world.youtube.videos
        assert video.id == video_id
        assert video.sha256 == hashlib.sha256(self.path.read_bytes()).hexdigest()
        assert not self.world.youtube.complaints


def metadata() -> VideoMetadata:
    vod = VodFacts("123", "A stream", "alice", NOW, 60.0, "https://www.twitch.tv/videos/123")
    return compose(vod, Presentation(tags=("one", "two words"), language="en"))


@pytest.fixture
def account(in_world: World, tmp_path: Path) -> Account:
    path = tmp_path / "video.mp4"
    path.write_bytes(os.urandom(SIZE))
    return Account(in_world, path)


def test_the_video_arrives_byte_for_byte_with_its_metadata(account: Account) -> None:
    uri = account.open()
    assert account.world.youtube.videos == []
    assert account.ask(uri) == SessionAt(0)
    video_id = account.send(uri)
    account.assert_one_whole_video(video_id)
    [video] = account.world.youtube.videos
    assert video.metadata == metadata().body()
    assert account.progress == [CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK, 5 * CHUNK, 5 * CHUNK]
    assert account.ask(uri) == SessionDone(video_id)
    assert account.units == 1600


def test_opening_a_session_names_size_and_type_and_sends_no_video(account: Account) -> None:
    account.open()
    [seen] = account.world.record.matching(path="*/upload/*")
    assert seen.headers["x-upload-content-length"] == str(SIZE)
    assert seen.headers["x-upload-content-type"] == "video/mp4"
    assert seen.request_bytes < 2 * KIB


@pytest.mark.parametrize("size_bytes", [1, CHUNK, 2 * CHUNK])
def test_sizes_at_the_edge_of_a_chunk(account: Account, size_bytes: int) -> None:
    account.path.write_bytes(os.urandom(size_bytes))
    account.assert_one_whole_video(account.send(account.open()))


def test_a_lost_answer_to_opening_is_harmless(account: Account) -> None:
    account.world.faults.lose_answer(path="*/upload/*", method="POST")
    with pytest.raises(Transient):
        account.open()
    account.assert_one_whole_video(account.send(account.open()))


def test_a_lost_final_answer_is_uncertain_and_the_session_tells(account: Account) -> None:
    uri = account.open()
    account.world.faults.lose_answer(**UPLOAD, skip=5)
    with pytest.raises(Uncertain):
        account.send(uri)
    found = account.ask(uri)
    assert isinstance(found, SessionDone)
    account.assert_one_whole_video(found.video_id)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_to_the_last_chunk_is_uncertain(account: Account, status: int) -> None:
    uri = account.open()
    account.world.faults.status(status, **UPLOAD, skip=5)
    with pytest.raises(Uncertain):
        account.send(uri)


def test_a_garbled_final_answer_is_uncertain(account: Account) -> None:
    uri = account.open()
    account.world.faults.corrupt(0, 64, **UPLOAD, skip=5)
    with pytest.raises(Uncertain) as caught:
        account.send(uri)
    assert caught.value.code == "garbled"


def test_a_final_answer_without_an_id_is_uncertain(account: Account) -> None:
    uri = account.open()
    account.world.faults.empty_json(**UPLOAD, skip=5)
    with pytest.raises(Uncertain):
        account.send(uri)


@pytest.mark.parametrize("fault", ["503", "cut", "lost", "html"])
def test_breaking_off_in_the_middle_is_transient_and_goes_on_from_there(
    account: Account, fault: str
) -> None:
    uri = account.open()
    faults = account.world.faults
    match: dict[str, Any] = {**UPLOAD, "skip": 2}
    if fault == "503":
        faults.google("backendError", **match)
    elif fault == "cut":
        faults.cut_request(100 * KIB, **match)
    elif fault == "lost":
        faults.lose_answer(**match)
    else:
        faults.html(400, **match)
    with pytest.raises(Transient):
        account.send(uri)
    at = account.ask(uri)
    assert isinstance(at, SessionAt)
    assert at.received_bytes in (2 * CHUNK, 3 * CHUNK)
    account.assert_one_whole_video(account.send(uri, at.received_bytes))


def test_the_last_chunk_cut_before_its_end_is_not_uncertain(account: Account) -> None:
    """What was not sent cannot have taken effect. (The cut must be felt before the last byte is
    handed to the system, so the chunk is larger than what the system takes at once.)"""
    size = 64 * CHUNK
    account.path.write_bytes(os.urandom(size))
    uri = account.open()
    account.world.faults.cut_request(10 * KIB, **UPLOAD)
    with pytest.raises((Transient, Uncertain)) as caught:
        account.youtube.send(
            uri,
            account.path,
            size,
            0,
            chunk_bytes=size,
            on_progress=account.progress.append,
            on_last=lambda: None,
            should_stop=lambda: False,
            rate_limit=20_000_000,
        )
    assert isinstance(caught.value, Transient)


def test_a_308_with_less_than_was_sent_is_believed(account: Account) -> None:
    """YouTube keeps what it likes of a chunk; the rest is sent again."""
    uri = account.open()

    def forget(response: Any) -> Any:
        session = account.world.youtube.sessions[0]
        assert session.received_bytes == 2 * CHUNK
        response.headers["Range"] = f"bytes=0-{CHUNK - 1}"
        return response

    account.world.faults.add(Fault(path="*/upload/*", method="PUT", skip=1, after=forget))
    account.assert_one_whole_video(account.send(uri))
    assert account.progress[:3] == [CHUNK, CHUNK, 2 * CHUNK]


@pytest.mark.parametrize("value", ["bytes=0-999999999999", "bytes=5-9", "nonsense", ""])
def test_a_308_with_an_impossible_range_is_never_believed(account: Account, value: str) -> None:
    uri = account.open()
    account.world.faults.answer(Response(308, b"", {"Range": value}), **UPLOAD, times=None)
    with pytest.raises(Transient):
        account.send(uri)
    with pytest.raises(Transient):
        account.ask(uri)


@pytest.mark.parametrize("form", ["bytes=0-{}", "bytes 0-{}", "0-{}", "Bytes=0-{}"])
def test_however_a_308_writes_the_range_it_is_read(account: Account, form: str) -> None:
    uri = account.open()

    def rewritten(response: Any) -> Any:
        if "Range" in response.headers:
            last = response.headers["Range"].rpartition("-")[2]
            response.headers["Range"] = form.format(last)
        return response

    account.world.faults.add(Fault(**UPLOAD, times=None, after=rewritten))
    with pytest.raises(Stopped):
        account.send(uri, should_stop=lambda: len(account.progress) == 2)
    assert account.ask(uri) == SessionAt(2 * CHUNK)
    account.assert_one_whole_video(account.send(uri, 2 * CHUNK))


@pytest.mark.parametrize("status", [200, 201])
def test_whatever_success_is_called_it_is_one(account: Account, status: int) -> None:
    def renamed(response: Any) -> Any:
        response.status = status if response.status == 200 else response.status
        return response

    account.world.faults.add(Fault(path="*/upload/*", times=None, after=renamed))
    account.assert_one_whole_video(account.send(account.open()))


def test_a_session_may_lie_at_another_host(account: Account) -> None:
    account.world.proxy.hosts["uploads.example"] = account.world.youtube.answer

    def elsewhere(response: Any) -> Any:
        query = response.headers["Location"].partition("?")[2]
        response.headers = {"LOCATION": f"https://uploads.example/upload/youtube/v3/videos?{query}"}
        return response

    account.world.faults.add(Fault(path="*/upload/*", method="POST", after=elsewhere))
    account.assert_one_whole_video(account.send(account.open()))
    assert account.world.record.count(host="uploads.example", method="PUT") == 6


def test_a_session_may_be_named_by_its_path_alone(account: Account) -> None:
    def shortened(response: Any) -> Any:
        path = response.headers["Location"].partition("//")[2].partition("/")[2]
        response.headers = {"Location": f"/{path}"}
        return response

    account.world.faults.add(Fault(path="*/upload/*", method="POST", after=shortened))
    account.assert_one_whole_video(account.send(account.open()))


def test_an_answer_without_a_session_is_transient(account: Account) -> None:
    account.world.faults.json(200, {"kind": "youtube#video"}, path="*/upload/*", method="POST")
    with pytest.raises(Transient):
        account.open()


def test_before_the_chunk_that_can_complete_it_is_told(account: Account) -> None:
    account.send(account.open())
    assert account.before_last == [5 * CHUNK]


def test_what_is_raised_before_the_last_chunk_keeps_it_back(account: Account) -> None:
    uri = account.open()

    def refuse() -> None:
        raise Stopped("not now")

    with pytest.raises(Stopped):
        account.youtube.send(
            uri,
            account.path,
            SIZE,
            0,
            chunk_bytes=CHUNK,
            on_progress=account.progress.append,
            on_last=refuse,
            should_stop=lambda: False,
        )
    assert account.ask(uri) == SessionAt(5 * CHUNK)


def test_a_server_that_keeps_nothing_ends_the_upload(account: Account) -> None:
    uri = account.open()
    account.world.faults.answer(Response(308), **UPLOAD, times=None)
    with pytest.raises(Transient) as caught:
        account.send(uri)
    assert caught.value.code == "no_progress"


@pytest.mark.parametrize("status", [404, 410])
def test_an_expired_session_is_gone(account: Account, status: int) -> None:
    uri = account.open()
    account.world.youtube.expire_sessions(status)
    assert account.ask(uri) == SessionGone()
    with pytest.raises(Transient) as caught:
        account.send(uri)
    assert caught.value.code == "session_gone"


def test_a_session_that_expires_at_the_last_chunk_is_uncertain(account: Account) -> None:
    uri = account.open()
    account.world.faults.google("notFound", **UPLOAD, skip=5)
    with pytest.raises(Uncertain) as caught:
        account.send(uri)
    assert caught.value.code == "session_gone"


def test_a_token_that_ends_in_the_middle_is_renewed_and_the_session_asked(
    account: Account,
) -> None:
    uri = account.open()
    account.world.faults.google("authError", **UPLOAD, skip=3)
    account.assert_one_whole_video(account.send(uri))
    assert account.tokens_refused == 1
    assert account.world.youtube.sessions[0].status_queries == 1


def test_a_token_that_is_refused_twice_stops_the_service(account: Account) -> None:
    uri = account.open()
    account.world.faults.google("authError", **UPLOAD, skip=1, times=None)
    with pytest.raises(AuthExpired):
        account.send(uri)


def test_a_whole_session_without_an_answer_is_uncertain(account: Account) -> None:
    uri = account.open()
    everything = Response(308, b"", {"Range": f"bytes=0-{SIZE - 1}"})
    account.world.faults.answer(everything, **UPLOAD, skip=5, times=None)
    with pytest.raises(Uncertain):
        account.send(uri)


def test_a_complete_session_is_not_sent_again(account: Account) -> None:
    uri = account.open()
    video_id = account.send(uri)
    before = account.world.record.count(path="*/upload/*", method="PUT")
    assert account.ask(uri) == SessionDone(video_id)
    assert account.world.record.count(path="*/upload/*", method="PUT") == before + 1


# --- the file -----------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["shorter", "longer", "touched"])
def test_a_file_that_changes_underneath_ends_the_upload(account: Account, change: str) -> None:
    uri = account.open()

    def changed(received: int) -> bool:
        if account.progress and account.path.stat().st_mtime_ns != 1:
            with account.path.open("r+b") as file:
                if change == "shorter":
                    file.truncate(SIZE - 10)
                elif change == "longer":
                    file.seek(0, os.SEEK_END)
                    file.write(b"more")
            os.utime(account.path, ns=(1, 1))
        return False

    with pytest.raises(Transient) as caught:
        account.send(uri, size_bytes=SIZE, should_stop=lambda: changed(0))
    assert caught.value.code == "file_changed"
    assert account.world.youtube.videos == []


def test_a_file_of_another_size_ends_the_upload_before_a_byte_is_sent(account: Account) -> None:
    uri = account.open()
    with pytest.raises(Transient) as caught:
        account.send(uri, size_bytes=SIZE + 1)
    assert caught.value.code == "file_changed"
    assert account.world.record.count(path="*/upload/*", method="PUT") == 0


def test_a_file_that_is_gone_ends_the_upload(account: Account) -> None:
    uri = account.open()
    account.path.unlink()
    with pytest.raises(Transient) as caught:
        account.send(uri, size_bytes=SIZE)
    assert caught.value.code == "file_missing"


# --- stopping and speed -------------------------------------------------------------------


def test_stopping_keeps_what_youtube_has(account: Account) -> None:
    uri = account.open()
    with pytest.raises(Stopped):
        account.send(uri, should_stop=lambda: len(account.progress) == 2)
    assert account.ask(uri) == SessionAt(2 * CHUNK)
    account.assert_one_whole_video(account.send(uri, 2 * CHUNK))


def test_a_limited_upload_stops_within_a_chunk(account: Account) -> None:
    """At 1 kB/s the first chunk alone would take four minutes."""
    uri = account.open()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        account.send(uri, rate_limit=1000, should_stop=stop)


# --- what YouTube says --------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["quotaExceeded", "dailyLimitExceeded", "uploadLimitExceeded"])
def test_a_used_up_quota_waits_for_midnight_in_california(account: Account, reason: str) -> None:
    account.world.faults.google(reason, path="*/upload/*", method="POST")
    with pytest.raises(RateLimited) as caught:
        account.open()
    assert caught.value.code == "quota"
    assert "quota" in caught.value.message
    assert caught.value.until == datetime(2026, 7, 2, 7, tzinfo=UTC)


def test_a_title_that_youtube_refuses_rejects_the_vod(account: Account) -> None:
    account.world.faults.google("invalidTitle", path="*/upload/*", method="POST")
    with pytest.raises(Rejected) as caught:
        account.open()
    assert caught.value.code == "invalid_title"


def test_a_token_without_the_scope_is_named(account: Account) -> None:
    account.world.account.scopes = ("https://www.googleapis.com/auth/youtube.readonly",)
    account.world.google.expire_tokens()
    with pytest.raises(AuthExpired) as caught:
        account.open()
    assert caught.value.code == "scope_missing"
    assert "https://www.googleapis.com/auth/youtube" in caught.value.message


def test_a_missing_proxy_is_transient_even_for_the_last_chunk(account: Account) -> None:
    uri = account.open()
    account.path.write_bytes(b"x")  # the first chunk is the last one
    account.world.proxy.disconnect()
    with pytest.raises(Transient):
        account.send(uri, size_bytes=1)
    account.world.proxy.connected = True


def test_the_file_does_not_pass_through_memory(world: World, tmp_path: Path) -> None:
    """200 MB in chunks of 64 MiB, in a process of its own: its peak grows by little."""
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    script = f"""
import json
from pathlib import Path
from datetime import UTC, datetime
from vodtender.clients.youtube.api import YouTube
from vodtender.model.video_metadata import *
def peak_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
path = Path({str(path)!r})
size = path.stat().st_size
youtube = YouTube(lambda _: {world.google.issue(world.account)!r})
vod = VodFacts("1", "t", "c", datetime.now(UTC), 1.0, "u")
uri = youtube.open_session(compose(vod, Presentation()), size, "video/mp4")
before = peak_kib()
video = youtube.send(uri, path, size, 0, chunk_bytes=64 * 2**20, on_progress=lambda _: None,
                     on_last=lambda: None, should_stop=lambda: False)
after = peak_kib()
print(json.dumps([before, after, video]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **world.env()},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    before_kib, after_kib, video_id = json.loads(done.stdout)
    [video] = world.youtube.videos
    assert video.id == video_id
    assert video.size_bytes == 200_000_000
    assert after_kib - before_kib < 12 * 1024
    assert after_kib < 110 * 1024
