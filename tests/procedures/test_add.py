"""`add` and `priority`: what comes, and in which order."""

from __future__ import annotations

import pytest

from tests.archive import Archive
from vodtender.errors import NotFound
from vodtender.procedures.add import add
from vodtender.procedures.change import Change
from vodtender.procedures.priority import prioritise
from vodtender.store import queue


def added(archive: Archive, *vod_ids: str, dry_run: bool = False, **more: object) -> list[Change]:
    tally = add(
        archive.database,
        vod_ids,
        actor="alice@host",
        reason="a test",
        dry_run=dry_run,
        **more,  # type: ignore[arg-type]
    )
    tally.raise_failures()
    return list(tally.changes)


def known(archive: Archive) -> list[str]:
    with archive.connection() as connection:
        rows = connection.execute("SELECT twitch_vod_id FROM vods ORDER BY id").fetchall()
    return [row["twitch_vod_id"] for row in rows]


class TestAdd:
    def test_a_new_vod_waits_for_its_download_and_a_daemon_finds_it(self, archive: Archive) -> None:
        (change,) = added(archive, "123")
        assert (change.before, change.after) == ({"state": None}, {"state": "queued"})
        vod = archive.get("123")
        assert (vod.stage, vod.priority, vod.skip_upload) == ("queued", 0, False)
        assert archive.claim("123")

    def test_several_with_what_is_given_each_once(self, archive: Archive) -> None:
        changes = added(archive, "1", "2", "1", skip_upload=True, priority=7)
        assert known(archive) == ["1", "2"]
        assert changes[1].after == {"state": "queued", "skip_upload": True, "priority": 7}
        assert (archive.get("2").skip_upload, archive.get("2").priority) == (True, 7)

    def test_twice_is_once(self, archive: Archive) -> None:
        added(archive, "1", priority=7)
        (change,) = added(archive, "1", priority=7)
        assert not change.changed
        assert change.note == "known already, queued"
        assert len(archive.audit()) == 1

    def test_of_a_known_one_only_what_is_given_changes(self, archive: Archive) -> None:
        archive.add("1", "downloaded", priority=3, skip_upload=True)
        (change,) = added(archive, "1", skip_upload=False)
        assert change.before == {"state": "kept", "skip_upload": True}
        assert change.after == {"state": "downloaded", "skip_upload": False}
        assert archive.get("1").priority == 3
        assert archive.is_queued_for("1") == "uploads"

    @pytest.mark.parametrize(
        ("stage", "command"),
        [("failed", "vodtender retry 1"), ("skipped", "vodtender reprocess 1")],
    )
    def test_one_that_is_at_rest_says_what_would_set_it_going(
        self, archive: Archive, stage: str, command: str
    ) -> None:
        archive.add("1", stage, problem="no")
        assert added(archive, "1")[0].note == f"known already, {stage}; type: {command}"
        assert archive.stage("1") == stage

    def test_the_audit_and_the_history_name_who(self, archive: Archive) -> None:
        added(archive, "1")
        (line,) = archive.audit()
        assert (line.actor, line.action, line.target, line.reason) == (
            "alice@host",
            "add",
            "1",
            "a test",
        )

    def test_a_dry_run_adds_nothing(self, archive: Archive) -> None:
        (change,) = added(archive, "1", dry_run=True)
        assert change.after == {"state": "queued"}
        assert known(archive) == []
        assert archive.audit() == []


class TestPriority:
    def set_to(
        self, archive: Archive, vod_id: str, number: int, *, dry_run: bool = False
    ) -> Change:
        return prioritise(
            archive.database, vod_id, number, actor="alice@host", reason=None, dry_run=dry_run
        )

    def test_the_highest_number_goes_first(self, archive: Archive) -> None:
        for vod_id in ("1", "2", "3"):
            archive.add(vod_id, channel="alice")
        self.set_to(archive, "3", 5)
        self.set_to(archive, "1", -5)
        order = []
        for _ in range(3):
            with archive.connection() as connection:
                vod = queue.take(
                    connection,
                    queue.DOWNLOADS,
                    worker_id="w",
                    directory_id="d",
                    lease_seconds=60,
                    channels=["alice"],
                )
            assert vod is not None
            order.append(vod.twitch_vod_id)
        assert order == ["3", "2", "1"]

    def test_twice_is_once(self, archive: Archive) -> None:
        archive.add("1")
        assert self.set_to(archive, "1", 5).after == {"state": "queued", "priority": 5}
        again = self.set_to(archive, "1", 5)
        assert not again.changed
        assert again.note == "its priority is 5 already"
        assert len(archive.audit()) == 1

    def test_a_worker_keeps_what_it_has_in_hand(self, archive: Archive) -> None:
        archive.add("1")
        claim = archive.claim("1")
        self.set_to(archive, "1", 5)
        vod = archive.get("1")
        assert (vod.worker_id, vod.claim, vod.priority) == ("worker-1", claim.number, 5)

    def test_a_dry_run_changes_nothing(self, archive: Archive) -> None:
        archive.add("1")
        assert self.set_to(archive, "1", 5, dry_run=True).changed
        assert archive.get("1").priority == 0

    def test_an_unknown_vod_is_not_found(self, archive: Archive) -> None:
        with pytest.raises(NotFound, match="There is no VOD 9"):
            self.set_to(archive, "9", 5)
