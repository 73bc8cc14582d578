"""Keeping hold of a VOD: when the work has to stop."""

from __future__ import annotations

from tests.clients.ytdlp.fetches import wait_until
from tests.pipeline.fetcher import Fetcher
from vodtender.pipeline.hold import Hold
from vodtender.store import queue


def test_work_whose_lease_ran_out_unrenewed_stops_before_anybody_tells_it(
    fetcher: Fetcher,
) -> None:
    """As after a sleep of the machine: the next heartbeat comes too late for the next write."""
    fetcher.new()
    fetcher.restart(LEASE_SECONDS="1")
    place = fetcher.place
    with place.database.transaction() as connection:
        vod = queue.take(
            connection,
            queue.DOWNLOADS,
            worker_id=place.worker_id,
            directory_id=place.directory.id,
            lease_seconds=1,
            channels=["alice"],
        )
    assert vod is not None
    hold = Hold(place, vod)
    assert not hold.should_stop()
    wait_until(hold.should_stop)
    hold.renew()
    assert not hold.should_stop()
