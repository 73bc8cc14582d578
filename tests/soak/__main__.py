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

from tests.soak.campaign import Plan, run

PLANS = (
    Plan("one daemon", 300),
    Plan("two daemons", 300, daemons=2),
    Plan("database killed", 300, kill_database=True),
    Plan("bad network", 300, daemons=2, bad_network=True),
)


def main() -> int:
    names = {plan.name.replace(" ", "-"): plan for plan in PLANS}
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(names))
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--vods", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    unknown = set(options.campaigns) - set(names)
    if unknown:
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}")
    failed = False
    for name in options.campaigns or names:
        plan = replace(names[name], kills=options.kills, vods=options.vods, seed=options.seed)
        directory = Path(tempfile.mkdtemp(prefix="soak-"))
        figures = run(plan, directory)
        sys.stdout.write(figures.line() + "\n")
        sys.stdout.flush()
        if figures.clean:
            shutil.rmtree(directory)
            continue
        failed = True
        for complaint in figures.verdict.complaints:
            sys.stdout.write(f"  {complaint}\n")
        sys.stdout.write(f"  see {directory}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
