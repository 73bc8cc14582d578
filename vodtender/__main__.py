"""`python -m vodtender` and the installed command."""

from __future__ import annotations

import gc
import sys

_OBJECTS_BEFORE_A_LOOK = 20_000
"""Made since the last search for garbage. By default there would be a hundred searches while
modules are loaded, a tenth of what a command takes, and nothing to find."""


def main() -> None:
    """Runs the command line and exits with its status."""
    gc.set_threshold(_OBJECTS_BEFORE_A_LOOK, *gc.get_threshold()[1:])
    try:
        from vodtender.cli.main import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while it was still being loaded
        status = 130
    gc.freeze()  # what is left goes with the process; to look through it takes another tenth
    sys.exit(status)


if __name__ == "__main__":
    main()
