"""`scripts/soak`: nothing lost, nothing twice, however often it is killed.

Each campaign prints one line of figures; the exit status is 1 if anything was lost, doubled,
stuck or left behind. What the daemons said stays in the directory of a campaign that failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.s3 import s3_server
from tests.soak import archive_kills
from tests.soak.campaign import Plan, run
from tests.soak.chat import ChatPlan
from tests.soak.chat import run as run_chat
from tests.soak.data import DataPlan
from tests.soak.data import run as run_data

PLANS = (
    Plan("one daemon", 300),
    Plan("two daemons", 300, daemons=2),
    Plan("database killed", 300, kill_database=True),
    Plan("bad network", 300, daemons=2, bad_network=True),
)


def main() -> int:
    plans = {plan.name.replace(" ", "-"): plan for plan in PLANS}
    names = [*plans, "chat", "data", "archive"]
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(names))
    told = "300; of data 50 backups and 50 restores, of archive 50"
    parser.add_argument("--kills", type=int, help=told)
    parser.add_argument("--vods", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    unknown = set(options.campaigns) - set(names)
    if unknown:
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}")
    failed = False
    for name in options.campaigns or names:
        directory = Path(tempfile.mkdtemp(prefix="soak-"))
        if name == "chat":
            line, complaints, clean = _chat(directory)
        elif name == "data":
            with s3_server() as endpoint:
                data = run_data(
                    DataPlan(options.kills or 50, seed=options.seed), directory, endpoint
                )
            line, complaints, clean = data.line(), tuple(data.complaints), data.clean
        elif name == "archive":
            seen = archive_kills.run(options.kills or 50, options.seed, directory)
            line, complaints, clean = seen.line(), tuple(seen.complaints), not seen.complaints
        else:
            kills = options.kills or plans[name].kills
            plan = replace(plans[name], kills=kills, vods=options.vods, seed=options.seed)
            figures = run(plan, directory)
            line, complaints = figures.line(), figures.verdict.complaints
            clean = figures.clean
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if clean:
            shutil.rmtree(directory)
            continue
        failed = True
        for complaint in complaints:
            sys.stdout.write(f"  {complaint}\n")
        sys.stdout.write(f"  see {directory}\n")
    return 1 if failed else 0


def _chat(directory: Path) -> tuple[str, tuple[str, ...], bool]:
    plan = ChatPlan("chat", 20_000, kills=8, life_seconds=3.0, away_seconds=30.0)
    figures = run_chat(plan, directory)
    return figures.line(), tuple(figures.complaints), not figures.complaints


if __name__ == "__main__":
    sys.exit(main())
