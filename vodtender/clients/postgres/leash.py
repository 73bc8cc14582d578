"""Becomes another program that ends when its parent does; run as a script.

    python -I -S leash.py PARENT_PID PROGRAM ARGUMENT...

It imports nothing of vodtender, which an isolated interpreter could not find.
"""

from __future__ import annotations

import os
import sys

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
"""Not from `signal`, which takes longer to import than all else here takes."""


def main() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        if os.getppid() != int(sys.argv[1]):
            os._exit(126)  # it has died already
    try:
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[2]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(126)


if __name__ == "__main__":
    main()
