"""Certificates for every host name, from an authority of our own."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import trustme


class Certificates:
    """One certificate authority, and a TLS context for each host that was asked for."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def write_authority(self, path: Path) -> None:
        """Write what `SSL_CERT_FILE` is to point to."""
        self._authority.cert_pem.write_to_path(str(path))

    def context(self, host: str, *also: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.set_alpn_protocols(["http/1.1"])
                self._authority.issue_cert(host, *also).configure_cert(context)
                self._contexts[host] = context
            return self._contexts[host]
