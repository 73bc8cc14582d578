"""Who makes a change, as the audit and the VODs' histories name them."""

from __future__ import annotations

import getpass
import os
import socket


def operator() -> str:
    """`name@host` of the person at the command line; behind sudo, of the one who typed it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"  # a container's user need not have a name
    return f"{name}@{socket.gethostname()}"
