"""`python -m tests.sandbox.irc_flood`: a chat server alone, which floods whoever joins.

Says in JSON lines where it listens and, afterwards, what it sent; serves until its standard
input ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.sandbox.certificates import Certificates
from tests.sandbox.irc import Chat
from tests.sandbox.vods import Catalog


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox.irc_flood", description=__doc__)
    parser.add_argument("--channel", default="bench")
    parser.add_argument("--per-second", type=float, default=20_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--authority", type=Path, help="write the TLS authority (PEM) here")
    options = parser.parse_args()
    catalog = Catalog()
    catalog.add_channel(options.channel)
    certificates = Certificates()
    if options.authority is not None:
        certificates.write_authority(options.authority)
    chat = Chat(catalog, certificates, {})
    chat.start()
    _tell(json.dumps({"url": chat.url, "plain_url": chat.plain_url}))
    chat.wait_joined(options.channel, timeout_seconds=120)
    begun = time.time()
    flood = chat.flood(options.channel, per_second=options.per_second, seconds=options.seconds)
    chat.wait(lambda _: not any(c.unsent for c in chat.clients), timeout_seconds=60)
    sent = {"first": flood.first, "count": len(flood.heard), "seconds": time.time() - begun}
    _tell(json.dumps(sent))
    sys.stdin.read()
    chat.stop()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
