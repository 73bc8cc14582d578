"""`python -m vodtender` and the installed command."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its status."""
    try:
        from vodtender.cli.main import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # while it was still being loaded
        sys.exit(130)


if __name__ == "__main__":
    main()
