"""Uploads when YouTube answers late, wrongly, with a refusal or not at all."""

from __future__ import annotations

import base64
import itertools
import os
from dataclasses import replace

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import CHUNK, LAST, POST, PUT, Publisher, sha256
from tests.sandbox.faults import Fault
from tests.sandbox.wire import Request, Response
from vodtender.model.vod import Stage, Waiting


def without_range(response: Response) -> Response:
    response.headers = {k: v for k, v in response.headers.items() if k != "Range"}
    return response


def lost(response: Response) -> Response:
    response.lost = True
    return response


def emptied(response: Response) -> Response:
    response.body = b""
    return response


def is_chunk(request: Request) -> bool:
    return "*" not in request.headers["content-range"]


def cut_at_the_end(request: Request) -> None:
    request.cut_body_after_bytes = int(request.headers["content-length"])


TROUBLE: dict[str, tuple[Fault, int]] = {
    # what goes wrong, and how many sessions it takes to bring the video there
    "503 to opening": (Fault(**POST, before=lambda _: Response(503)), 2),
    "lost answer to opening": (Fault(**POST, after=lost), 2),
    "503 to a chunk": (Fault(**PUT, skip=1, before=lambda _: Response(503)), 1),
    "503 and a time": (
        Fault(**PUT, skip=1, before=lambda _: Response(503, b"", {"Retry-After": "1"})),
        1,
    ),
    "503 many times": (Fault(**PUT, times=7, before=lambda _: Response(503)), 1),
    "a web page": (Fault(**PUT, before=lambda _: Response(400, b"<html>", {})), 1),
    "308 without a range": (Fault(**PUT, after=without_range), 1),
    "429 to a chunk": (
        Fault(**PUT, skip=1, before=lambda _: Response(429, b"", {"Retry-After": "1"})),
        1,
    ),
    "429 to the last chunk": (Fault(**PUT, skip=LAST, before=lambda _: Response(429)), 1),
    "503 to the last chunk": (Fault(**PUT, skip=LAST, before=lambda _: Response(503)), 1),
    "lost answer to a chunk": (Fault(**PUT, after=lost), 1),
    "lost last answer": (
        Fault(**PUT, skip=LAST, after=lost),
        1,
    ),
    "cut after the last byte": (Fault(**PUT, skip=LAST, before=cut_at_the_end), 1),
    "empty last answer": (Fault(**PUT, skip=LAST, after=emptied), 1),
    "empty answers for ever": (Fault(**PUT, skip=LAST, times=None, after=emptied), 1),
    "session gone, 404": (Fault(**PUT, skip=1, before=lambda _: Response(404)), 2),
    "session gone, 410": (Fault(**PUT, skip=1, before=lambda _: Response(410)), 2),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_whatever_youtube_answers_the_video_is_there_once(
    publisher: Publisher, trouble: str
) -> None:
    path = publisher.add()
    fault, sessions = TROUBLE[trouble]
    publisher.world.faults.add(replace(fault, struck=0, _passed=0))
    vod = publisher.publish()
    assert vod.stage is Stage.PUBLISHED, vod.problem
    assert vod.processing_error is None
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == sessions
    assert publisher.attempts == sessions


def test_progress_between_failures_starts_the_count_of_tries_anew(publisher: Publisher) -> None:
    """Else a long upload over a bad line would end up with rests of hours."""
    publisher.add(content=os.urandom(12 * CHUNK))
    every_second = itertools.cycle([False, True])
    publisher.world.faults.add(
        Fault(
            **PUT,
            times=None,
            when=lambda request: is_chunk(request) and next(every_second),
            before=lambda _: Response(503),
        )
    )
    for _ in range(8):
        publisher.hasten()
        publisher.upload()
        vod = publisher.vod()
        assert vod.upload_attempts == 1
        assert vod.waiting_for is Waiting.BACKOFF


def test_a_revoked_token_pauses_the_account_until_somebody_logs_in(publisher: Publisher) -> None:
    path = publisher.add("1001")
    publisher.add("1002")
    gate = publisher.world.faults.hold_answer(**PUT)
    with publisher.in_background():
        gate.wait_reached()
        publisher.world.google.revoke(publisher.world.account)
        gate.release()
    vod = publisher.vod()
    assert (vod.stage, vod.waiting_for) == (Stage.UPLOADING, Waiting.LOGIN)
    assert "vodtender auth login youtube" in (vod.problem or "")
    asked = publisher.world.record.count(host="*youtube*")
    publisher.upload()
    assert publisher.vod("1002").waiting_for is Waiting.LOGIN
    assert publisher.world.record.count(host="*youtube*") == asked
    publisher.world.account.revoked = False
    publisher.log_in()
    publisher.upload()
    [video] = publisher.world.youtube.videos
    assert video.sha256 == sha256(path)
    assert publisher.sessions_opened == 1
    assert publisher.vod("1002").waiting_for is None


def test_a_token_that_lacks_the_scope_is_named_before_anything_is_spent(
    publisher: Publisher,
) -> None:
    publisher.world.account.scopes = ("https://www.googleapis.com/auth/youtube.upload",)
    publisher.log_in()
    publisher.add()
    publisher.upload()
    vod = publisher.vod()
    assert vod.waiting_for is Waiting.LOGIN
    assert "lacks the scope https://www.googleapis.com/auth/youtube;" not in (vod.problem or "")
    assert "lacks the scope https://www.googleapis.com/auth/youtube" in (vod.problem or "")
    assert "vodtender auth login youtube" in (vod.problem or "")
    assert (publisher.sessions_opened, publisher.attempts) == (0, 0)


def test_a_changed_key_does_not_lose_the_session(new_publisher: NewPublisher) -> None:
    """What cannot be read now can be when the key is back."""
    key, other = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    publisher = new_publisher(ENCRYPTION_KEY=key)
    publisher.log_in()
    path = publisher.add()
    publisher.world.faults.add(Fault(**PUT, skip=1, before=lambda _: Response(503)))
    publisher.upload()
    publisher.restart(ENCRYPTION_KEY=other)
    publisher.hasten()
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.waiting_for) == (Stage.UPLOADING, Waiting.LOGIN)
    assert publisher.uploads()[0].session_uri is not None
    publisher.restart(ENCRYPTION_KEY=key)
    publisher.sql("DELETE FROM upload_holds")
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 1
