"""Whatever happens to a VOD, in whatever order: it is on YouTube once, whole, or still on its way.

A state machine drives the real lanes on a real database against a small world: requests that
fail or are cut off before and after they take effect, workers that die, operators who type, and
people who delete files and videos.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.pipeline.small_world import (
    ACCOUNT,
    FAULTS,
    LONGEST_HIDDEN,
    Crash,
    Script,
    SmallAccounts,
    SmallTwitch,
    SmallYouTube,
)
from tests.postgres import NewDatabase
from tests.store import rows
from vodtender.config.load import load
from vodtender.config.settings import Settings
from vodtender.model.tokens import Tokens
from vodtender.model.video_metadata import marker
from vodtender.pipeline import prune, upload, verify
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.oauth_services import YOUTUBE
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.token_box import TokenBox
from vodtender.pipeline.work import Lane, work_on_next
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, queue, tokens, vods
from vodtender.store.database import Database

EXPLORES = os.environ.get("LIFE_EXAMPLES")
"""How many lives to try, others each time. Without it, the same few."""
EXAMPLES = int(EXPLORES or "4")
IDS = ("1", "2")
MOST = 6
"""VODs in one run."""
SETTINGS = {
    "TWITCH_CHANNELS": "alice",
    "RETAIN_KEEP_NEWER_THAN_DAYS": "0",
    "UPLOAD_DAILY_LIMIT": "100000",
    "BACKFILL_UPLOAD_DAILY_LIMIT": "100000",
    "YT_QUOTA_UNITS_PER_DAY": "1000000000",
    "UPLOAD_ABSENCE_WAIT": "1h",
    "CIRCUIT_FAILURE_THRESHOLD": "2",
    "DISK_RESERVE": "0",
}
EDITS = (
    "processed=false",
    "processed=true",
    "download_state='pending'",
    "download_state='skipped'",
    "download_state='failed'",
    "processing_error='no good'",
    "processing_error=NULL",
    "processed=true, processing_error='VOD unavailable'",
    "processing_error=NULL, download_state='pending'",
    "processed=false, processing_error=NULL",
    "youtube_url=NULL",
    "youtube_url='https://youtu.be/NOBODYS'",
    "cancel_reason='not wanted'",
    "allow_gaps=true",
)
TIMES = (timedelta(seconds=31), timedelta(minutes=11), timedelta(minutes=61), timedelta(hours=7))

AT_THE_END = ("lost", "uncertain", "crash", "crash after", "transient", "rejected", "quota")


@dataclass(frozen=True)
class Trouble:
    """So many requests go well, the next does not, nor do `more`. `meddling`: before which of
    them an operator types what. `hide`: YouTube does not show a new video for a while."""

    good: int
    fault: str
    more: tuple[str, ...] = ()
    meddling: tuple[int, str] | None = None
    hide: bool = False


troubles = st.builds(
    Trouble,
    st.integers(0, 8),
    st.sampled_from(FAULTS),
    more=st.lists(st.sampled_from(FAULTS), max_size=2).map(tuple),
    meddling=st.none() | st.tuples(st.integers(0, 9), st.sampled_from(EDITS)),
    hide=st.booleans(),
)


class LifeOfAVod(RuleBasedStateMachine):
    """One worker, a few VODs of one channel, and everybody who can get in the way."""

    database: Database
    psql: psycopg.Connection[Any]

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="life-")
        self.script = Script()
        self.youtube = SmallYouTube(self.script)
        self.twitch = SmallTwitch(self.script, self.youtube.whole_files)
        self.place = self._place()
        self.lanes = (
            Lane("download", "download", queue.DOWNLOADS, guarded=True, work=self.twitch.fetch),
            upload.LANE,
            verify.LANE,
        )
        with self.database.transaction() as connection:
            for table in ("vods", "kv", "breakers", "upload_holds", "upload_attempts", "leases"):
                connection.execute(f"DELETE FROM {table}".encode())
            for vod_id in IDS:
                rows.insert(connection, int(vod_id), channel="alice")
            tokens.put(
                connection,
                self.place.accounts.box.seal(
                    YOUTUBE, ACCOUNT, Tokens("t"), None, owner_id="o", owner_name="n"
                ),
            )

    def _place(self) -> Workplace:
        found = load({**SETTINGS, "DATA_DIR": self.folder.name, "DB_DSN": "postgresql://unused/"})
        directory = open_directory(Path(self.folder.name))
        accounts = SmallAccounts(self.youtube, TokenBox(Settings()))
        return Workplace(
            settings=found,
            database=self.database,
            directory=directory,
            worker_id="worker-1",
            accounts=cast("Accounts", accounts),
            room=DownloadRoom(directory, found.disk_reserve),
            chance=random.Random(1),
        )

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            self._all_ends_well()
        finally:
            self.folder.cleanup()

    # --- work ---------------------------------------------------------------------------

    @rule(first=st.integers(0, 2), trouble=troubles)
    def a_worker_meets_trouble(self, first: int, trouble: Trouble) -> None:
        self._expect(trouble)
        self._work_somewhere(first)

    @rule(
        trouble=st.builds(
            Trouble,
            st.integers(2, 3),
            st.sampled_from(AT_THE_END),
            more=st.lists(st.sampled_from(AT_THE_END), max_size=3).map(tuple),
            hide=st.booleans(),
        ),
        expire=st.booleans(),
        lanes=st.lists(st.integers(1, 2), max_size=3),
    )
    def a_new_vods_upload_is_cut_off(
        self, trouble: Trouble, expire: bool, lanes: list[int]
    ) -> None:
        """At its end, mostly, where nobody here can know whether it took effect; and whoever
        looks after it meets more trouble."""
        if len(self._rows()) < MOST:
            with self.database.transaction() as connection:
                rows.insert(connection, len(self._rows()) + 1, channel="alice", priority=9)
        self._expect(Trouble(0, "ok"))
        self._work(self.lanes[0])
        self._expect(trouble)
        self._work(self.lanes[1])
        if expire:
            self.youtube.expire_sessions()
        for lane in lanes:
            self.time_passes(TIMES[0])
            self._work(self.lanes[lane])

    @rule(first=st.integers(0, 2), pieces=st.integers(1, 4))
    def a_worker_works(self, first: int, pieces: int) -> None:
        self._expect(Trouble(0, "ok"))
        for _ in range(pieces):
            self._work_somewhere(first)

    @rule(pieces=st.integers(2, 6))
    def a_worker_works_and_youtube_too(self, pieces: int) -> None:
        self._expect(Trouble(0, "ok"))
        for _ in range(pieces):
            self._work_somewhere(1)
            self.youtube.process("processed")
            self.time_passes(TIMES[0])

    def _expect(self, trouble: Trouble) -> None:
        self.script.steps = [*["ok"] * trouble.good, trouble.fault, *trouble.more]
        if trouble.meddling is not None:
            at, text = trouble.meddling
            self.script.steps.insert(at, lambda: self._edit_all(text))
        self.youtube.hide = LONGEST_HIDDEN if trouble.hide else timedelta(0)

    def _work_somewhere(self, first: int) -> None:
        """One piece of work, of this kind if there is any."""
        for lane in self.lanes[first:] + self.lanes[:first]:
            if self._work(lane):
                return

    def _work(self, lane: Lane) -> bool:
        files, before = self._files(), self._rows()
        try:
            worked = work_on_next(self.place, lane)
        except Crash:
            worked = True
            self._start_anew()
        for vod_id in files - self._files():
            assert self._is_processed(vod_id), f"the only copy of {vod_id} is gone"
        for vod_id, row in self._rows().items():
            if row["stage"] == "published" != before[vod_id]["stage"]:
                assert row["video_id"] in [v.id for v in self.youtube.of(marker(vod_id))]
                assert self._is_processed(vod_id)
        return worked

    def _start_anew(self) -> None:
        """Another process. On the same machine it finds out that the other is dead; another
        machine waits until its lease has ended."""
        dead = self.place.worker_id
        self.place = replace(self._place(), worker_id=f"{dead}+")
        if len(dead) % 2:
            with self.database.transaction() as connection:
                claims.release_all(connection, dead)

    @rule(time=st.sampled_from(TIMES))
    def time_passes(self, time: timedelta) -> None:
        """What is stored lies that much further back."""
        self.youtube.pass_time(time)
        with self.database.transaction() as connection:
            connection.execute(
                """
                UPDATE vods SET next_try_at = next_try_at - %(time)s,
                    uncertain_since = uncertain_since - %(time)s,
                    missing_since = missing_since - %(time)s,
                    lease_expires_at = lease_expires_at - %(time)s
                """,
                {"time": time},
            )
            connection.execute("UPDATE upload_holds SET held_until = held_until - %s", (time,))
            connection.execute(
                """
                UPDATE kv SET value = to_char((value::timestamptz - %s) AT TIME ZONE 'UTC',
                    'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                WHERE key = 'circuit_open_until'
                """,
                (time,),
            )

    @rule()
    def files_are_pruned(self) -> None:
        files = self._files()
        judge = prune.by_settings(self.place.settings)
        prune.prune(self.database, self.place.directory, judge, actor="op", dry_run=False)
        for vod_id in files - self._files():
            assert self._is_processed(vod_id), f"the only copy of {vod_id} is gone"

    # --- people -------------------------------------------------------------------------

    @rule(vod_id=st.none() | st.sampled_from(IDS), edit=st.sampled_from(EDITS))
    def an_operator_edits(self, vod_id: str | None, edit: str) -> None:
        if vod_id is None:
            self._edit_all(edit)
        else:
            self._psql(f"UPDATE vods SET {edit} WHERE twitch_vod_id = '{vod_id}'")

    @rule(what=st.integers(0, 7), vod_id=st.sampled_from(IDS))
    def something_else_happens(self, what: int, vod_id: str) -> None:
        events: list[Callable[[], None]] = [
            lambda: self.youtube.process("processed"),
            lambda: self.youtube.process("processed"),
            lambda: self.youtube.process("rejected"),
            self.youtube.expire_sessions,
            lambda: self._delete_file(vod_id),
            lambda: self._delete_video(vod_id),
            lambda: self._say_that_it_is_not_uploaded(vod_id),
            lambda: self._psql("DELETE FROM kv WHERE key LIKE 'circuit_%'"),
        ]
        events[what]()

    def _delete_file(self, vod_id: str) -> None:
        for path in self.place.directory.root.glob(f"*_{vod_id}.mp4"):
            path.unlink()

    def _delete_video(self, vod_id: str) -> None:
        for video in self.youtube.of(marker(vod_id)):
            del self.youtube.videos[video.id]

    def _say_that_it_is_not_uploaded(self, vod_id: str) -> None:
        """Having looked: whoever says so of a video that is there asks for a second one."""
        row = self._rows()[vod_id]
        if row["stage"] == "finalizing" and not self.youtube.of(marker(vod_id)):
            with self.database.transaction() as connection:
                connection.execute("DELETE FROM uploads WHERE vod_id = %s", (row["id"],))
                vods.upload_anew(connection, rows.get(connection, int(vod_id)))

    # --- what holds always --------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "folder"))
    @invariant()
    def no_vod_is_uploaded_twice_or_in_pieces(self) -> None:
        assert not self.youtube.offences

    @precondition(lambda self: hasattr(self, "folder"))
    @invariant()
    def all_vods_can_move_and_show_what_the_contract_promises(self) -> None:
        for row in self._rows().values():
            rows.assert_shown_as_promised(row)
            assert rows.can_move(row), row
            assert row["problem_code"] != "internal", row["problem"]

    def _all_ends_well(self) -> None:
        """With an operator who asks for it, and a world without trouble, every VOD ends on
        YouTube, once."""
        self.script.steps = []
        self.youtube.hide = timedelta(0)
        for _ in range(20):
            self._psql(
                "UPDATE vods SET download_state = 'pending' WHERE stage IN ('failed', 'skipped')"
            )
            self.time_passes(timedelta(hours=7))
            while sum(self._work(lane) for lane in self.lanes):
                self.youtube.process("processed")
            stages = {row["stage"] for row in self._rows().values()}
            if stages == {"published"}:
                break
        assert stages == {"published"}, self._rows()
        self.no_vod_is_uploaded_twice_or_in_pieces()

    # --- looking ------------------------------------------------------------------------

    def _psql(self, text: str) -> None:
        self.psql.execute(text.encode())

    def _edit_all(self, edit: str) -> None:
        self._psql(f"UPDATE vods SET {edit}")

    def _rows(self) -> dict[str, dict[str, Any]]:
        with self.database.transaction() as connection:
            found = connection.execute("SELECT * FROM vods").fetchall()
        return {row["twitch_vod_id"]: row for row in found}

    def _files(self) -> set[str]:
        """The VODs whose file is there."""
        return {p.stem.rpartition("_")[2] for p in self.place.directory.root.glob("*.mp4")}

    def _is_processed(self, vod_id: str) -> bool:
        return "processed" in [video.status for video in self.youtube.of(marker(vod_id))]


def test_whatever_happens_a_vod_is_uploaded_once_and_never_stuck_or_lost(
    new_database: NewDatabase, migrated_template: str
) -> None:
    with new_database(migrated_template) as dsn:
        database = Database(lambda: dsn, pool_size=3)
        psql = psycopg.connect(dsn, application_name="psql", autocommit=True)
        try:
            machine = type("Machine", (LifeOfAVod,), {"database": database, "psql": psql})
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=30,
                    deadline=None,
                    derandomize=not EXPLORES,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            psql.close()
            database.close()
