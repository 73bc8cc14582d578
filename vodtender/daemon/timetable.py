"""When the chores are done."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.schedulers.background import BackgroundScheduler

from vodtender.daemon.backup_chore import BackupChore
from vodtender.daemon.chores import Chores

_BACKUP_LOOK_SECONDS = 20.0
_LONGEST_PRUNE_PAUSE_SECONDS = 300.0
"""A file that was moved by hand is noticed within this time."""


class _Threads(BaseExecutor):  # type: ignore[misc]
    """A thread per job and run. Unlike a pool's, they do not keep the process alive when they
    hang in the network."""

    def _do_submit_job(self, job: Any, run_times: Any) -> None:
        def run() -> None:
            try:
                events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
            except BaseException:
                self._run_job_error(job.id, *sys.exc_info()[1:])
            else:
                self._run_job_success(job.id, events)

        threading.Thread(target=run, name=f"chore {job.name}", daemon=True).start()


def scheduled(chores: Chores) -> BackgroundScheduler:
    """The scheduler, not started yet. Every chore is due at once, and then at its interval."""
    # It would warn of each chore that lasts longer than its interval; those are left out.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    settings = chores.place.settings
    prune_pause = min(settings.retention_interval.total_seconds(), _LONGEST_PRUNE_PAUSE_SECONDS)
    join_pause = max(1.0, min(settings.vod_reconcile_delay.total_seconds(), 60.0))
    scheduler = BackgroundScheduler(
        executors={"default": _Threads()},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )
    due: list[tuple[Callable[[], None], float]] = [
        (chores.heartbeat, min(5.0, settings.lease_seconds / 4)),
        (chores.prune, prune_pause),
        (chores.compact, 60.0),
        (chores.renew_tokens, 60.0),
        (chores.look_after_logins, 3600.0),
        (chores.look_after_chat, join_pause),
    ]
    if settings.backup_cron is not None:
        backups = BackupChore(chores.place, settings.backup_cron)
        due.append((backups.back_up_when_due, _BACKUP_LOOK_SECONDS))
    for chore, seconds in due:
        scheduler.add_job(
            chores.guarded(chore),
            "interval",
            name=chore.__name__,
            seconds=seconds,
            next_run_time=datetime.now(UTC),
        )
    return scheduler
