"""Uploads that are cut off: killed, without their lease, without the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import CHUNK, LAST, POST, PUT, Publisher
from tests.postgres import AwayDatabase
from tests.sandbox.faults import Gate
from vodtender.model.vod import Stage, Waiting

# --- killed -------------------------------------------------------------------------------


def at_the_row(
    publisher: Publisher, gate: Gate, seen: dict[str, Any], kill: Callable[[], None]
) -> None:
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
    assert publisher.sessions_opened == (1 if moment in OPEN else 2)


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
    assert publisher.sessions_opened == (2 if opening else 1)


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
    assert publisher.sessions_opened == (1 if moment == "after the last byte" else 2)


# --- the lease and the database -----------------------------------------------------------


def test_a_worker_that_lost_its_lease_completes_nothing(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(LEASE_SECONDS="1")
    publisher.log_in()
    path = publisher.add()
    gate = publisher.world.faults.hold_answer(**PUT, skip=LAST - 1)
    with publisher.in_background():
        gate.wait_reached()
        publisher.take_away()
        gate.release()
    [session] = publisher.world.youtube.sessions
    assert session.received_bytes == LAST * CHUNK
    assert publisher.world.youtube.videos == []
    assert publisher.vod().stage is Stage.UPLOADING
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 1


def test_an_upload_that_was_cancelled_is_not_completed(publisher: Publisher) -> None:
    publisher.add()
    gate = publisher.world.faults.hold_answer(**PUT, skip=LAST - 1)
    with publisher.in_background():
        gate.wait_reached()
        publisher.sql("UPDATE vods SET cancel_reason = 'not this one'")
        gate.release()
    vod = publisher.vod()
    assert (vod.stage, vod.problem) == (Stage.SKIPPED, "not this one")
    assert publisher.world.youtube.videos == []


def test_a_session_that_could_not_be_stored_for_want_of_the_lease_gets_no_byte(
    publisher: Publisher,
) -> None:
    path = publisher.add()
    gate = publisher.world.faults.hold_answer(**POST)
    with publisher.in_background():
        gate.wait_reached()
        publisher.take_away()
        gate.release()
    assert publisher.world.record.count(**PUT) == 0
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


@pytest.mark.parametrize("moment", ["opening the session", "a chunk", "the last byte"])
def test_the_database_is_away_when_an_answer_arrives(
    publisher: Publisher, database_away: AwayDatabase, moment: str
) -> None:
    path = publisher.add()
    seen, skip = {
        "opening the session": (POST, 0),
        "a chunk": (PUT, 0),
        "the last byte": (PUT, LAST),
    }[moment]
    gate = publisher.world.faults.hold_answer(**seen, skip=skip)
    with publisher.in_background():
        gate.wait_reached()
        with database_away():
            gate.release()
            publisher.world.record.wait_for(
                lambda _requests: publisher.world.record.count(**seen) > skip
            )
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == (2 if moment == "opening the session" else 1)
