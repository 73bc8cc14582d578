"""The outside world in one object.

    with World() as world:
        channel = world.add_channel("alice")
        vod = world.add_vod(channel, "muted", segment_count=5)
        run_something(env={**os.environ, **world.env()})
        assert [v.title for v in world.youtube.videos] == ["muted 1"]

Nothing here is random: ids, tokens and media come out the same every time; only the dates
follow `now`.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.sandbox.accounts import Account
from tests.sandbox.cdn import Cdn
from tests.sandbox.certificates import Certificates
from tests.sandbox.faults import Faults
from tests.sandbox.google import Google
from tests.sandbox.helix import Helix
from tests.sandbox.irc import Chat
from tests.sandbox.kinds import KINDS
from tests.sandbox.proxy import Proxy
from tests.sandbox.record import Record
from tests.sandbox.twitch import Twitch
from tests.sandbox.vods import Catalog, Channel, Vod
from tests.sandbox.youtube import YouTube

__all__ = ["World"]


class World:
    """Twitch, Google and YouTube on loopback. Everything in it may be changed while it runs."""

    def __init__(
        self, *, now: datetime | None = None, certificates: Certificates | None = None
    ) -> None:
        self.faults = Faults()
        self.record = Record()
        self.catalog = Catalog(now)
        self.twitch = Twitch(self.catalog)
        self.cdn = Cdn(self.catalog)
        self.helix = Helix(self.catalog)
        self.google = Google()
        self.youtube = YouTube(self.google)
        self.account: Account = self.google.add_account("default")
        hosts = {
            **self.twitch.hosts(),
            **self.cdn.hosts(),
            **self.helix.hosts(),
            **self.google.hosts(),
            **self.youtube.hosts(),
        }
        self.proxy = Proxy(hosts, self.faults, self.record, certificates)
        self.chat = Chat(self.catalog, self.proxy.certificates, self.helix.tokens)
        self.proxy.tunnels = {
            "irc.chat.twitch.tv": self.chat.tunnel,
            "localhost": self.chat.tunnel,
        }
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self, port: int = 0) -> World:
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-")
        self.proxy.certificates.write_authority(self.certificate_path)
        self.chat.start()
        self.proxy.start(port)
        return self

    def stop(self) -> None:
        self.proxy.stop()
        self.chat.stop()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> World:
        return self if self.proxy.port else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def certificate_path(self) -> Path:
        """The authority that signs for every host here (PEM)."""
        assert self._folder is not None, "the world is not started"
        return Path(self._folder.name) / "authority.pem"

    @property
    def proxy_url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    def env(self) -> dict[str, str]:
        """What a process needs in its environment to live in this world.

        Both spellings, because some programs read one only and because a variable of the
        machine itself must not win.
        """
        proxies = dict.fromkeys(
            ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), self.proxy_url
        )
        return {
            **proxies,
            "NO_PROXY": "",
            "no_proxy": "",
            "SSL_CERT_FILE": str(self.certificate_path),
            # requests and curl would prefer these of the machine.
            "REQUESTS_CA_BUNDLE": "",
            "CURL_CA_BUNDLE": "",
        }

    def settings(self, *, helix: bool = True, youtube: bool = True) -> dict[str, str]:
        """The product's settings for this world: the channels, the chat server, and the
        clients' credentials."""
        found = {
            "TWITCH_CHANNELS": ",".join(self.catalog.channels),
            "TWITCH_IRC_URL": self.chat.url,
        }
        if helix:
            found["TWITCH_CLIENT_ID"] = self.helix.client_id
            found["TWITCH_CLIENT_SECRET"] = self.helix.client_secret
        if youtube:
            found["YT_CLIENT_ID"] = self.google.client_id
            found["YT_CLIENT_SECRET"] = self.google.client_secret
        return found

    def disconnect(self) -> None:
        """The network is gone: what is in hand breaks, nothing new gets through."""
        self.chat.refusing = True
        self.chat.cut()
        self.proxy.disconnect()

    def reconnect(self) -> None:
        self.chat.refusing = False
        self.proxy.connected = True

    def add_channel(self, login: str, **more: Any) -> Channel:
        return self.catalog.add_channel(login, **more)

    def add_vod(self, channel: Channel | str, kind: str = "fine", **more: Any) -> Vod:
        """See `Catalog.add_vod` for the arguments and `kinds.KINDS` for the kinds."""
        return self.catalog.add_vod(channel, kind, spoil=KINDS[kind], **more)
