"""A VOD that is worked on: when the work has to stop."""

from __future__ import annotations

from tests.clients.ytdlp.fetches import wait_until
from tests.pipeline.fetcher import Fetcher
from vodtender.pipeline.claimed_vod import ClaimedVod
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
    claimed = ClaimedVod(place, vod)
    assert not claimed.should_stop()
    wait_until(claimed.should_stop)
    claimed.renew()
    assert not claimed.should_stop()
