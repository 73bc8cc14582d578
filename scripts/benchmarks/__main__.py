"""`scripts/bench`: runs the benchmarks that are asked for and says which limits hold."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.benchmarks import archive, backup, chat, download, idle, queue, startup, upload
from scripts.benchmarks.figures import Effort, Figure
from scripts.outside import ROOT

BENCHMARKS: dict[str, Callable[[Path, Effort], Iterable[Figure]]] = {
    "download": download.measure,
    "upload": upload.measure,
    "idle": idle.measure,
    "startup": startup.measure,
    "queue": queue.measure,
    "chat": chat.measure,
    "backup": backup.measure,
    "archive": archive.measure,
}


def main() -> int:
    options = _options()
    effort = Effort.QUICK if options.quick else Effort.FULL
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    missed = 0
    for name in options.names or BENCHMARKS:
        directory = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=options.directory))
        try:
            for figure in BENCHMARKS[name](directory, effort):
                print(figure.line(), flush=True)
                missed += not figure.holds
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *BENCHMARKS])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument(
        "--directory", type=Path, default=ROOT, help="on the disk that is to be measured"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
