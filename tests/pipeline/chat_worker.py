"""A recorder in a process of its own: `python -m tests.pipeline.chat_worker DSN DATA_DIR ID URL`.
Records until it is killed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from vodtender.pipeline.chat_flush import store_left_behind
from vodtender.pipeline.chat_recorder import ChatRecorder
from vodtender.pipeline.chat_target import Target
from vodtender.pipeline.directory import open_directory
from vodtender.store import chat_recordings
from vodtender.store.database import Database


def main() -> None:
    dsn, root, recording_id, address = sys.argv[1:]
    database, directory = Database(lambda: dsn, pool_size=3), open_directory(Path(root))
    store_left_behind(database, directory)
    with database.transaction() as connection:
        recording = chat_recordings.get(connection, int(recording_id))
    assert recording is not None
    ChatRecorder(database, directory, Target.of(recording), address=address).run(threading.Event())


if __name__ == "__main__":
    main()
