"""Pruning a real directory by a real database: only what is ours, and never the only copy."""

from __future__ import annotations

import fcntl
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.archive import Archive
from tests.rows import add_vod, rows
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable, Locked, SettingsError
from vodtender.model.retention import Verdict
from vodtender.model.vod import Stage
from vodtender.pipeline import prune
from vodtender.pipeline.directory import DataDirectory, open_directory
from vodtender.pipeline.prune import Fate, Judge, Pruned
from vodtender.store.database import Database

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CONTENT = b"a video"
IN_HAND: dict[str, Any] = {"worker_id": "somebody", "lease_expires_at": NOW + DAY}
ANYTHING_GOES: dict[str, Any] = {"retain_keep_newer_than_days": 0}


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return open_directory(tmp_path / "data")


class Disk:
    """DATA_DIR with the files of VODs, and pruning it."""

    def __init__(self, database: Database, directory: DataDirectory) -> None:
        self.database = database
        self.directory = directory

    def add(self, vod_id: str, stage: Stage = Stage.PUBLISHED, **columns: Any) -> Path:
        """A VOD whose stream was a hundred days ago, with its file."""
        path = self.directory.root / f"title_{vod_id}.mp4"
        path.write_bytes(CONTENT)
        on_youtube = stage in (Stage.PUBLISHED, Stage.VERIFYING)
        if stage is Stage.DOWNLOADING:
            columns = IN_HAND | columns
        values = {
            "stage": stage,
            "video_id": "abc" if on_youtube else None,
            "published_at": NOW - 90 * DAY if stage is Stage.PUBLISHED else None,
            "date": NOW - 100 * DAY,
            "downloaded_at": NOW - 95 * DAY,
            "downloaded_path": str(path),
            "directory_id": self.directory.id,
            "file_size_bytes": len(CONTENT),
            "file_sha256": "0" * 64,
        }
        add_vod(self.database, vod_id, **(values | columns))
        return path

    def prune(
        self, verdict_on: Judge | None = None, *, dry_run: bool = False, **settings: Any
    ) -> dict[str, Pruned]:
        chosen = Settings(**(ANYTHING_GOES | settings))
        done = prune.prune(
            self.database,
            self.directory,
            verdict_on or prune.by_settings(chosen),
            actor="op@host",
            reason="why not",
            dry_run=dry_run,
        )
        return {one.vod_id: one for one in done}

    def fates(self, **options: Any) -> dict[str, str]:
        return {vod_id: one.fate.value for vod_id, one in self.prune(**options).items()}

    def place_unrecorded(self, vod_id: str, work: Path) -> Path:
        """What a worker leaves that is killed before the database knows of its file."""
        add_vod(self.database, vod_id, stage=Stage.QUEUED)
        made, placed = work / "whole.mp4", self.directory.root / f"title_{vod_id}.mp4"
        made.write_bytes(CONTENT)
        os.link(made, placed)
        _make_old(work)
        return placed

    def edit(self, vod_id: str, **columns: Any) -> None:
        changes = ", ".join(f"{name} = %s" for name in columns)
        query = f"UPDATE vods SET {changes} WHERE twitch_vod_id = %s"
        with self.database.transaction() as connection:
            connection.execute(query.encode(), (*columns.values(), vod_id))

    def row(self, vod_id: str, columns: str) -> tuple[Any, ...]:
        query = f"SELECT {columns} FROM vods WHERE twitch_vod_id = %s"
        (found,) = rows(self.database, query, vod_id)
        return found


@pytest.fixture
def disk(archive: Archive, directory: DataDirectory) -> Disk:
    return Disk(archive.database, directory)


@pytest.fixture
def breakable(database: Database, directory: DataDirectory) -> Disk:
    """With a database of its own, for tests that spoil it."""
    return Disk(database, directory)


# --- only what YouTube has processed ----------------------------------------------------


def test_the_file_of_a_published_vod_goes_and_all_of_that_is_noted(disk: Disk) -> None:
    path = disk.add("1")
    done = disk.prune()["1"]
    assert (done.fate, done.path, done.size_bytes) == (Fate.REMOVED, path, len(CONTENT))
    assert not path.exists()
    assert disk.row("1", "stage, downloaded_path, directory_id, file_removed_at IS NULL") == (
        "published",
        None,
        None,
        False,
    )
    assert rows(disk.database, "SELECT actor, action, target, before, reason FROM audit") == [
        (
            "op@host",
            "prune",
            "1",
            {"file": str(path), "size_bytes": len(CONTENT)},
            "why not",
        )
    ]


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.PUBLISHED])
def test_the_file_of_a_vod_in_any_other_stage_stays(disk: Disk, stage: Stage) -> None:
    path = disk.add("1", stage)
    assert disk.prune()["1"].fate is Fate.STAYS
    assert path.read_bytes() == CONTENT
    assert disk.row("1", "downloaded_path") == (str(path),)


@pytest.mark.parametrize(
    "columns", [{"published_at": None}, {"video_id": None}, IN_HAND], ids=["when", "what", "hand"]
)
def test_the_file_of_a_published_vod_of_which_something_is_odd_stays(
    disk: Disk, columns: dict[str, Any]
) -> None:
    path = disk.add("1", **columns)
    assert disk.prune()["1"].fate is Fate.STAYS
    assert path.exists()


def test_an_operators_edit_that_comes_between_the_look_and_the_removal_counts(
    disk: Disk,
) -> None:
    """The judge of the first file asks for the second VOD anew, in the last moment."""
    disk.add("2", date=NOW - 101 * DAY)
    disk.add("1")
    asked: list[str] = []

    def judge(vod: Any, _rank: int, _now: datetime, _archived: bool) -> Verdict:
        if not asked:
            asked.append(vod.twitch_vod_id)
            with psycopg.connect(disk.database.dsn) as operator:
                operator.execute(
                    "UPDATE vods SET download_state = 'pending' WHERE twitch_vod_id = '2'"
                )
        return Verdict(vod.stage is Stage.PUBLISHED, "says the judge")

    assert {i: d.fate for i, d in disk.prune(judge).items()} == {
        "1": Fate.REMOVED,
        "2": Fate.STAYS,
    }


def test_a_vod_that_is_being_changed_just_now_is_left_alone(disk: Disk) -> None:
    path = disk.add("1")
    with psycopg.connect(disk.database.dsn) as operator:
        operator.execute("SELECT FROM vods FOR UPDATE")
        assert disk.prune()["1"].why == "it is changing just now"
        assert path.exists()
    assert disk.prune()["1"].fate is Fate.REMOVED


# --- only what is ours ------------------------------------------------------------------


def test_files_of_other_programs_are_never_touched(disk: Disk, directory: DataDirectory) -> None:
    disk.add("1")
    theirs = [
        directory.root / "holiday.mp4",
        directory.root / "title_999.mp4",
        directory.root / ".hidden_1.mp4",
        directory.root / "sub" / "title_1.mp4",
        directory.root / "title_1.mp4.bak",
    ]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"theirs")
    assert disk.fates() == {"1": "removed"}
    assert all(path.read_bytes() == b"theirs" for path in theirs)
    assert prune.others(disk.database, directory) == [
        directory.root / "holiday.mp4",
        directory.root / "title_1.mp4.bak",
        directory.root / "title_999.mp4",
    ]


def test_what_one_channel_lets_go_costs_no_other_channel_a_file(disk: Disk) -> None:
    gone = disk.add("1", channel="alice")
    kept = [
        disk.add("2", Stage.DOWNLOADED, channel="bob"),
        disk.add("3", Stage.UPLOADING, channel="carol"),
        disk.add("4", date=NOW - 2 * DAY, channel="dora"),
    ]
    disk.prune(retain_keep_newer_than_days=7)
    assert not gone.exists()
    assert all(path.exists() for path in kept)


def test_a_file_that_belongs_to_another_directory_is_not_ours_though_it_has_the_name(
    disk: Disk,
) -> None:
    """Another host's DATA_DIR: the database knows the file, and this is not it."""
    path = disk.add("1", directory_id="another")
    assert disk.prune() == {}
    assert path.exists()
    assert disk.row("1", "downloaded_path") == (str(path),)


def test_a_directory_that_was_moved_is_the_same_one(disk: Disk, tmp_path: Path) -> None:
    disk.add("1")
    moved = tmp_path / "elsewhere"
    disk.directory.root.rename(moved)
    disk.directory = open_directory(moved)
    assert disk.fates() == {"1": "removed"}
    assert not (moved / "title_1.mp4").exists()


def test_a_file_that_somebody_has_changed_stays(disk: Disk) -> None:
    path = disk.add("1")
    path.write_bytes(b"somebody's own cut of it")
    done = disk.prune()["1"]
    assert (done.fate, done.why) == (
        Fate.STAYS,
        "its size is not the recorded one: somebody has changed it",
    )
    assert path.exists()


def test_a_link_stays_and_so_does_what_it_leads_to(disk: Disk, tmp_path: Path) -> None:
    path = disk.add("1")
    target = tmp_path / "archive.mp4"
    path.rename(target)
    path.symlink_to(target)
    assert disk.prune()["1"].why == "it is a symbolic link that somebody has put there"
    assert path.is_symlink()
    assert target.read_bytes() == CONTENT


def test_a_link_that_leads_nowhere_does_not_count_as_a_deleted_file(disk: Disk) -> None:
    path = disk.add("1", Stage.DOWNLOADED)
    path.unlink()
    path.symlink_to("/nowhere/archive.mp4")
    assert disk.fates() == {"1": "stays"}
    assert disk.row("1", "stage") == ("downloaded",)


@pytest.mark.parametrize("name", ["..", ".", "", "/etc", "sub", "x/../.."])
def test_whatever_path_is_recorded_only_a_file_in_the_directory_is_touched(
    disk: Disk, directory: DataDirectory, name: str
) -> None:
    (directory.root / "sub").mkdir()
    (directory.root / "etc").mkdir()
    disk.add("1", downloaded_path=name)
    other = disk.add("2")
    assert disk.fates() == {"1": "stays", "2": "removed"}
    assert not other.exists()
    assert (directory.root / "sub").is_dir()


def test_a_data_dir_that_is_itself_a_link_is_pruned_where_it_leads(
    archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    disk = Disk(archive.database, open_directory(tmp_path / "data"))
    disk.add("1")
    assert disk.fates() == {"1": "removed"}
    assert not (tmp_path / "disk" / "title_1.mp4").exists()


# --- deleted by hand --------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.PUBLISHED, Stage.VERIFYING])
def test_what_is_on_youtube_stays_done_when_its_file_is_deleted_by_hand(
    disk: Disk, stage: Stage
) -> None:
    disk.add("1", stage).unlink()
    assert disk.prune()["1"].fate is Fate.GONE
    assert disk.row("1", "stage, downloaded_path, file_removed_at IS NULL") == (stage, None, False)


@pytest.mark.parametrize("stage", [Stage.DOWNLOADED, Stage.UPLOADING])
def test_what_is_not_on_youtube_is_fetched_again_and_says_why(disk: Disk, stage: Stage) -> None:
    disk.add("1", stage).unlink()
    assert disk.prune()["1"].fate is Fate.GONE
    assert disk.row("1", "stage, downloaded_path, recheck, processing_error") == (
        "queued",
        None,
        True,
        "its file title_1.mp4 was deleted or moved; it is fetched again",
    )


def test_a_worker_that_has_a_vod_in_hand_finds_out_itself(disk: Disk) -> None:
    disk.add("1", Stage.UPLOADING, **IN_HAND).unlink()
    disk.prune()
    assert disk.row("1", "stage, worker_id") == ("uploading", "somebody")


def test_a_dry_run_notices_a_deleted_file_and_notes_nothing(disk: Disk) -> None:
    path = disk.add("1", Stage.DOWNLOADED)
    path.unlink()
    assert disk.fates(dry_run=True) == {"1": "gone"}
    assert disk.row("1", "stage, downloaded_path") == ("downloaded", str(path))


@pytest.mark.parametrize("instead", ["nothing", "another disk", "an empty mount point"])
def test_when_the_whole_disk_is_missing_no_file_counts_as_deleted(
    disk: Disk, tmp_path: Path, instead: str
) -> None:
    paths = [disk.add("1"), disk.add("2", Stage.DOWNLOADED)]
    root = disk.directory.root
    root.rename(tmp_path / "unmounted")
    if instead != "nothing":
        root.mkdir()
    if instead == "another disk":
        open_directory(root)
    with pytest.raises(SettingsError, match="is not the directory it was"):
        disk.prune()
    for vod_id, path in zip(("1", "2"), paths, strict=True):
        assert disk.row(vod_id, "downloaded_path, file_removed_at") == (str(path), None)


# --- the settings -----------------------------------------------------------------------


def test_without_autoclean_nothing_goes(disk: Disk) -> None:
    path = disk.add("1")
    assert disk.prune(backfill_autoclean=False)["1"].why == "BACKFILL_AUTOCLEAN is off"
    assert path.exists()


@pytest.mark.parametrize("name", ["retain_keep_newer_than_days", "retention_keep_days"])
def test_younger_vods_are_kept(disk: Disk, name: str) -> None:
    disk.add("1", date=NOW - 31 * DAY)
    disk.add("2", date=NOW - 29 * DAY)
    assert disk.fates(**{name: 30}) == {"1": "removed", "2": "stays"}


def test_the_longer_of_both_ages_counts(disk: Disk) -> None:
    disk.add("1", date=NOW - 20 * DAY)
    assert disk.fates(retain_keep_newer_than_days=7, retention_keep_days=30) == {"1": "stays"}
    assert disk.fates(retain_keep_newer_than_days=30, retention_keep_days=7) == {"1": "stays"}


def test_the_newest_few_of_each_channel_are_kept_by_the_date_of_their_stream(disk: Disk) -> None:
    for number in range(4):
        disk.add(f"1{number}", channel="alice", date=NOW - (50 - number) * DAY)
    disk.add("20", channel="bob", date=NOW - 99 * DAY)
    assert disk.fates(retention_keep_count=2) == {
        "10": "removed",
        "11": "removed",
        "12": "stays",
        "13": "stays",
        "20": "stays",
    }


def test_a_file_that_is_gone_takes_no_place_among_the_newest(disk: Disk) -> None:
    disk.add("1", date=NOW - 50 * DAY)
    disk.add("2", date=NOW - 40 * DAY).unlink()
    assert disk.fates(retention_keep_count=1) == {"1": "stays", "2": "gone"}


def test_a_dry_run_says_what_would_go_and_touches_nothing(disk: Disk) -> None:
    path = disk.add("1")
    assert disk.fates(dry_run=True) == {"1": "removed"}
    assert path.exists()
    assert disk.row("1", "downloaded_path") == (str(path),)
    assert rows(disk.database, "SELECT * FROM audit") == []


# --- when things go wrong ---------------------------------------------------------------


def test_when_the_files_cannot_be_asked_for_nothing_is_deleted(breakable: Disk) -> None:
    paths = [breakable.add("1"), breakable.add("2", Stage.DOWNLOADED)]
    with breakable.database.transaction() as connection:
        connection.execute("ALTER TABLE vods RENAME COLUMN downloaded_path TO elsewhere")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        breakable.prune()
    assert all(path.exists() for path in paths)


def test_when_the_database_goes_away_in_the_middle_nothing_more_is_deleted(
    disk: Disk,
) -> None:
    paths = [disk.add(str(number), date=NOW - (50 + number) * DAY) for number in range(3)]
    judged = []

    def judge(vod: Any, _rank: int, _now: datetime, _archived: bool) -> Verdict:
        judged.append(vod.twitch_vod_id)
        if len(judged) == 2:
            with psycopg.connect(disk.database.dsn, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        return Verdict(True, "says the judge")

    with pytest.raises(DatabaseUnavailable):
        disk.prune(judge)
    assert [path.exists() for path in paths] == [False, True, True]


def test_a_removal_that_cannot_be_noted_does_not_happen(breakable: Disk) -> None:
    path = breakable.add("1")
    with breakable.database.transaction() as connection:
        connection.execute("ALTER TABLE audit ADD CHECK (action <> 'prune')")
    with pytest.raises(psycopg.errors.CheckViolation):
        breakable.prune()
    assert path.exists()
    assert breakable.row("1", "downloaded_path") == (str(path),)


def test_a_file_that_cannot_be_removed_is_said_and_the_others_go(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = disk.add("1"), disk.add("2")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    done = disk.prune()
    assert done["1"].fate is Fate.FAILED
    assert "Operation not permitted" in done["1"].why
    assert done["2"].fate is Fate.REMOVED
    assert (stuck.exists(), other.exists()) == (True, False)
    assert disk.row("1", "downloaded_path") == (str(stuck),)
    assert rows(disk.database, "SELECT target FROM audit") == [("2",)]


def test_only_one_prunes_a_directory_at_a_time(disk: Disk) -> None:
    with prune.lease(disk.database, disk.directory, "one"):
        with (
            pytest.raises(Locked, match="Somebody else is pruning"),
            prune.lease(disk.database, disk.directory, "two"),
        ):
            pass
        elsewhere = DataDirectory(disk.directory.root, "another")
        with prune.lease(disk.database, elsewhere, "two"):
            pass
    with prune.lease(disk.database, disk.directory, "two"):
        pass


def test_the_lease_is_given_back_whatever_happens(disk: Disk) -> None:
    with pytest.raises(ZeroDivisionError), prune.lease(disk.database, disk.directory, "one"):
        _ = 1 / 0
    with prune.lease(disk.database, disk.directory, "two"):
        pass


def test_two_that_prune_at_once_remove_each_file_once(disk: Disk) -> None:
    for number in range(20):
        disk.add(str(number))
    second = Disk(Database(lambda: disk.database.dsn), disk.directory)
    found: list[dict[str, str]] = []
    threads = [
        threading.Thread(target=lambda one=one: found.append(one.fates())) for one in (disk, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    second.database.close()
    removed = [vod_id for fates in found for vod_id, fate in fates.items() if fate == "removed"]
    assert sorted(removed) == sorted(str(number) for number in range(20))
    assert rows(disk.database, "SELECT count(*) FROM audit") == [(20,)]


# --- work directories -------------------------------------------------------------------


@pytest.fixture
def work(directory: DataDirectory) -> Path:
    """Where a download of VOD 77 was given up long ago."""
    path = directory.work("77")
    (path / "parts-abc").mkdir(parents=True)
    (path / "lock").touch()
    (path / "1.seg").write_bytes(b"x")
    (path / "parts-abc" / "whole.part-1").write_bytes(b"x")
    _make_old(path)
    return path


def _make_old(path: Path) -> None:
    for entry in [*path.iterdir(), path]:
        os.utime(entry, (0, 0))


def clean_up(disk: Disk) -> list[Path]:
    return prune.clean_up(disk.database, disk.directory, max_age_seconds=DAY.total_seconds())


def test_a_work_directory_that_nobody_uses_any_more_goes_with_all_that_is_in_it(
    disk: Disk, work: Path
) -> None:
    assert clean_up(disk) == [work]
    assert not work.exists()


def test_a_work_directory_in_which_something_moved_lately_stays(disk: Disk, work: Path) -> None:
    os.utime(work / "1.seg")
    assert clean_up(disk) == []
    assert (work / "1.seg").exists()


def test_a_work_directory_in_which_a_process_works_stays(disk: Disk, work: Path) -> None:
    with (work / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _make_old(work)
        assert clean_up(disk) == []
        assert (work / "1.seg").exists()
    assert clean_up(disk) == [work]


def test_the_work_directory_of_a_vod_that_is_being_uploaded_stays(disk: Disk, work: Path) -> None:
    """Its parts lie there, and nothing in it moves for as long as the upload takes."""
    disk.add("77", Stage.UPLOADING, **IN_HAND)
    assert clean_up(disk) == []
    assert (work / "parts-abc" / "whole.part-1").exists()


def test_a_file_whose_worker_was_killed_before_it_was_recorded_goes_with_its_work(
    disk: Disk, work: Path
) -> None:
    placed = disk.place_unrecorded("77", work)
    assert clean_up(disk) == [work]
    assert not placed.exists()


def test_what_a_worker_has_in_hand_that_may_be_dead_is_left_to_who_buries_it(
    disk: Disk, work: Path
) -> None:
    placed = disk.place_unrecorded("77", work)
    disk.edit("77", worker_id="somebody", lease_expires_at=NOW - DAY)
    assert clean_up(disk) == []
    assert placed.exists()


@pytest.mark.parametrize("known", ["recorded", "another file", "nobody's"])
def test_a_file_that_may_be_somebodys_stays(disk: Disk, work: Path, known: str) -> None:
    placed = disk.place_unrecorded("77", work)
    if known == "recorded":
        disk.edit("77", downloaded_path=str(placed), directory_id=disk.directory.id)
    elif known == "another file":
        placed.unlink()
        placed.write_bytes(CONTENT)
    else:
        disk.edit("77", twitch_vod_id="78")
    assert clean_up(disk) == [work]
    assert placed.exists()


def test_what_is_not_a_work_directory_stays(disk: Disk, work: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").touch()
    link = work.parent / "78"
    link.symlink_to(theirs)
    notes = work.parent / "notes"
    notes.mkdir()
    (work.parent / "79").touch()
    for path in (notes, work.parent / "79", theirs):
        os.utime(path, (0, 0))
    assert clean_up(disk) == [work]
    assert (theirs / "precious").exists()
    assert link.is_symlink()
    assert notes.is_dir()
    assert (work.parent / "79").exists()
