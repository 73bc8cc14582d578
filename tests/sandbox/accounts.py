"""People with a Google account and a YouTube channel, and what they let our client do."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

SCOPE_YOUTUBE = "https://www.googleapis.com/auth/youtube"
SCOPE_UPLOAD = "https://www.googleapis.com/auth/youtube.upload"
SCOPE_READONLY = "https://www.googleapis.com/auth/youtube.readonly"
SCOPE_SSL = "https://www.googleapis.com/auth/youtube.force-ssl"
MAY_WRITE = {SCOPE_YOUTUBE, SCOPE_SSL, "https://www.googleapis.com/auth/youtubepartner"}
MAY_READ = MAY_WRITE | {SCOPE_READONLY}
MAY_UPLOAD = MAY_WRITE | {SCOPE_UPLOAD}


@dataclass(eq=False)
class Account:
    """A person with a YouTube channel who lets our client in."""

    name: str
    channel_id: str
    channel_title: str
    scopes: tuple[str, ...]
    refresh_token: str
    client_id: str
    revoked: bool = False
    has_channel: bool = True

    @property
    def uploads_playlist_id(self) -> str:
        return "UU" + self.channel_id[2:]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Who comes with this token, and what it may do."""

    value: str
    account: Account
    scopes: tuple[str, ...]
    client_id: str


@dataclass(eq=False)
class DeviceLogin:
    """A device that waits for its code to be typed somewhere."""

    client_id: str
    scopes: tuple[str, ...]
    user_code: str
    account: Account | None = None
    denied: bool = False


@dataclass(eq=False)
class Consent:
    """What a person agreed to; an authorization code stands for it."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    account: Account
    challenge: str
    challenge_method: str

    def verifies(self, verifier: str) -> bool:
        """PKCE (RFC 7636): whether this verifier fits the challenge."""
        if self.challenge_method == "S256":
            digest = hashlib.sha256(verifier.encode()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.challenge
        return verifier == self.challenge
