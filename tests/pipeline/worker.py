"""One piece of work in a process of its own: `python -m tests.pipeline.worker LANE`."""

from __future__ import annotations

import os
import sys

from tests.pipeline.publisher import place_for
from vodtender.config.load import load
from vodtender.pipeline import upload, verify
from vodtender.pipeline.work import work_on_next
from vodtender.store.database import Database


def main() -> None:
    settings = load(os.environ)
    database = Database(lambda: settings.dsn or "", pool_size=4)
    place = place_for(settings, database, f"worker-{os.getpid()}")
    work_on_next(place, {"upload": upload.LANE, "verify": verify.LANE}[sys.argv[1]])


if __name__ == "__main__":
    main()
