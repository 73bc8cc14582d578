"""What servers are verified against, for every client alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vodtender.errors import SettingsError

_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
"""The first that is set counts. Ours comes first: the others are often set machine-wide."""


def trusted_certificates(environ: Mapping[str, str] | None = None) -> bool | str:
    """What servers are verified against: a file, a directory, or True for the built-in list."""
    variables = os.environ if environ is None else environ
    for name in _VARIABLES:
        value = variables.get(name, "")
        if not value:
            continue
        if not os.access(value, os.R_OK) or not Path(value).exists():
            raise SettingsError(
                f"{name} names {value}, which does not exist or cannot be read, "
                "so no server's certificate can be checked",
                hint=f"correct {name}, or unset it to use the built-in list",
            )
        return value
    return True
