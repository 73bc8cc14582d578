"""Uploads: each VOD is on YouTube once, whole, wherever the way there was cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pipeline.publisher import CHUNK, Publisher
from tests.sandbox.faults import Gate
from vodtender.model.vod import Stage, Waiting

PUT: dict[str, Any] = {"path": "*/upload/*", "method": "PUT"}
POST: dict[str, Any] = {"path": "*/upload/*", "method": "POST"}
LAST = 2
"""So many chunks go before the last."""


def posts(publisher: Publisher) -> int:
    return publisher.world.record.count(**POST)


def test_a_vod_arrives_once_and_byte_for_byte(publisher: Publisher) -> None:
    path = publisher.add()
    vod = publisher.publish()
    video = publisher.assert_one_whole_video(path)
    assert vod.stage is Stage.PUBLISHED
    assert (vod.processed, vod.download_state, vod.processing_error) == (True, "complete", None)
    assert vod.youtube_url == video.url
    assert posts(publisher) == 1
    assert publisher.attempts == 1
    assert publisher.units == publisher.world.youtube.units_used[publisher.world.google.client_id]


def test_nothing_is_done_twice_when_asked_again(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.publish()
    assert not publisher.upload()
    assert not publisher.verify()
    publisher.assert_one_whole_video(path)


def test_the_session_is_stored_before_the_first_byte(publisher: Publisher) -> None:
    publisher.add()
    gate = publisher.world.faults.hold(**PUT)
    with publisher.in_background():
        gate.wait_reached()
        [stored] = publisher.uploads()
        assert stored.session_uri is not None
        assert stored.sent_bytes == 0
        assert publisher.vod().stage is Stage.UPLOADING
        [session] = publisher.world.youtube.sessions
        assert session.received_bytes == 0


def test_the_last_chunk_is_announced_before_it_is_sent(publisher: Publisher) -> None:
    publisher.add()
    gate = publisher.world.faults.hold(**PUT, skip=LAST)
    with publisher.in_background():
        gate.wait_reached()
        [stored] = publisher.uploads()
        assert stored.sent_bytes == stored.size_bytes
        [session] = publisher.world.youtube.sessions
        assert session.received_bytes == LAST * CHUNK


# --- killed -------------------------------------------------------------------------------


def at_the_row(publisher: Publisher, gate: Gate, seen: dict[str, Any], kill: Callable) -> None:  # type: ignore[type-arg]
    """The answer to a request arrives, and what follows from it cannot be stored."""
    gate.wait_reached(20)
    number = publisher.world.record.count(**seen)
    with publisher.locked():
        gate.release()
        publisher.world.record.wait_for(
            lambda _requests: publisher.world.record.count(**seen) > number
        )
        kill()


MOMENTS: dict[str, Callable[[Publisher], Gate]] = {
    "before the session is opened": lambda p: p.world.faults.hold(**POST),
    "before the session's address arrives": lambda p: p.world.faults.hold_answer(**POST),
    "in the middle of a chunk": lambda p: p.world.faults.hold_body(100_000, **PUT, skip=1),
    "before the answer to a chunk": lambda p: p.world.faults.hold_answer(**PUT, skip=1),
    "before the last chunk": lambda p: p.world.faults.hold(**PUT, skip=LAST),
    "after the last byte": lambda p: p.world.faults.hold_answer(**PUT, skip=LAST),
}
OPEN = set(list(MOMENTS)[2:])
"""Moments at which the session's address is stored."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_at_any_moment_leaves_one_video(publisher: Publisher, moment: str) -> None:
    path = publisher.add()
    gate = MOMENTS[moment](publisher)
    with publisher.another_process() as process:
        gate.wait_reached(20)
        process.kill()
    publisher.world.faults.clear()
    vod = publisher.publish()
    assert vod.stage is Stage.PUBLISHED, vod.problem
    publisher.assert_one_whole_video(path)
    assert posts(publisher) == (1 if moment in OPEN else 2)


@pytest.mark.parametrize("after", ["opening the session", "the last byte"])
def test_a_worker_killed_before_it_can_store_an_answer_leaves_one_video(
    publisher: Publisher, after: str
) -> None:
    path = publisher.add()
    opening = after == "opening the session"
    seen = POST if opening else PUT
    gate = publisher.world.faults.hold_answer(**seen, skip=0 if opening else LAST)
    with publisher.another_process() as process:
        at_the_row(publisher, gate, seen, process.kill)
        process.wait(10)
    vod = publisher.publish()
    assert vod.stage is Stage.PUBLISHED, vod.problem
    publisher.assert_one_whole_video(path)
    assert posts(publisher) == (2 if opening else 1)


@pytest.mark.parametrize("moment", sorted(OPEN - {"before the answer to a chunk"}))
def test_killed_and_the_session_gone_meanwhile(publisher: Publisher, moment: str) -> None:
    """Where the last chunk was never begun, the upload begins anew at once; where it was, only
    the channel's uploads can tell."""
    path = publisher.add()
    gate = MOMENTS[moment](publisher)
    with publisher.another_process() as process:
        gate.wait_reached(20)
        process.kill()
    publisher.world.faults.clear()
    for session in publisher.world.youtube.sessions:
        session.expire(410)
    publisher.upload()
    vod = publisher.vod()
    if moment == "before the last chunk":
        assert vod.stage is Stage.FINALIZING
        assert vod.waiting_for is Waiting.SECOND_LOOK
        publisher.pass_time(publisher.place.settings.upload_absence_wait)
        publisher.verify()
    vod = publisher.publish()
    assert vod.stage is Stage.PUBLISHED, vod.problem
    publisher.assert_one_whole_video(path)
    assert posts(publisher) == (1 if moment == "after the last byte" else 2)
