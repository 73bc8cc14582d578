"""Uploads: what gets to YouTube, when, and for whom."""

from __future__ import annotations

from tests.pipeline.publisher import CHUNK, LAST, PUT, Publisher
from vodtender.model.vod import Stage


def test_a_vod_arrives_once_and_byte_for_byte(publisher: Publisher) -> None:
    path = publisher.add()
    vod = publisher.publish()
    video = publisher.assert_one_whole_video(path)
    assert vod.stage is Stage.PUBLISHED
    assert (vod.processed, vod.download_state, vod.processing_error) == (True, "complete", None)
    assert vod.youtube_url == video.url
    assert publisher.sessions_opened == 1
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
