"""What servers are verified against, for every client alike."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vodtender.errors import SettingsError

_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
"""The first that is set counts. Ours comes first: the others are often set machine-wide."""


def trusted_certificates(environ: Mapping[str, str] | None = None) -> bool | str:
    """What servers are verified against: a file, a directory, or True for the built-in list.

    Raises SettingsError when what is named cannot be read, or is a file without a certificate.
    """
    variables = os.environ if environ is None else environ
    for name in _VARIABLES:
        value = variables.get(name, "")
        if not value:
            continue
        amiss = _amiss(value)
        if amiss is not None:
            raise SettingsError(
                f"{name} names {value}, which {amiss}, so no server's certificate can be checked",
                hint=f"correct {name}, or unset it to use the built-in list",
            )
        return value
    return True


def _amiss(path: str) -> str | None:
    if not os.access(path, os.R_OK) or not Path(path).exists():
        return "does not exist or cannot be read"
    status = Path(path).stat()
    if stat.S_ISREG(status.st_mode) and not _holds_one(path, status.st_mtime_ns, status.st_size):
        return "holds no certificate in PEM format"
    return None


@cache
def _holds_one(path: str, _changed_ns: int, _size_bytes: int) -> bool:
    """Whether there is a certificate in the file as it is now. To read a system's whole list takes
    20 ms, and it is asked for each connection."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True
