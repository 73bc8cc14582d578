"""Keeps tokens unreadable in the database: AES-256-GCM under `ENCRYPTION_KEY`.

A sealed text is `v1:<key id>:<base64 of nonce, ciphertext and tag>`. The key id tells a wrong
key from a damaged value. The context (which row, which column) is authenticated with it, so a
value that is copied into another row does not open there. Without a key, texts are kept as
`plain:<text>`, which a cipher with a key still opens, so that encryption can be turned on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vodtender.errors import CredentialsMissing, SettingsError

KEY_BYTES = 32
_NONCE_BYTES = 12
_SEALED = "v1:"
_PLAIN = "plain:"
_LOGIN = "log in again: vodtender auth login youtube (or twitch)"


def key_from_base64(text: str) -> bytes:
    """The key that ENCRYPTION_KEY spells, in either alphabet of base64.

    Raises:
        SettingsError: it is not base64 of 32 bytes.
    """
    try:
        standard = text.strip().translate(str.maketrans("-_", "+/"))
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(
            "ENCRYPTION_KEY is not base64 of 32 bytes",
            hint="make one with: openssl rand -base64 32",
        )
    return key


class TokenCipher:
    """Seals and opens texts under one key, or with None leaves them readable."""

    def __init__(
        self, key: bytes | None, *, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        if key is not None and len(key) != KEY_BYTES:
            raise ValueError("the key must have 32 bytes")
        self._aead = None if key is None else AESGCM(key)
        self._key_id = "" if key is None else _key_id(key)
        self._random_bytes = random_bytes

    @property
    def encrypts(self) -> bool:
        """Whether there is a key."""
        return self._aead is not None

    def seal(self, plaintext: str, context: str) -> str:
        """The form to store. `context` names the place, the same at `open`."""
        if self._aead is None:
            return _PLAIN + plaintext
        nonce = self._random_bytes(_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, plaintext.encode(), _bound(context))
        return f"{_SEALED}{self._key_id}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """The text that was sealed.

        Raises:
            CredentialsMissing: `key_missing`, `key_wrong`, or `token_damaged` when the value
                was altered, cut or belongs to another place.
        """
        if sealed.startswith(_PLAIN):
            return sealed.removeprefix(_PLAIN)
        key_id, _, encoded = sealed.removeprefix(_SEALED).partition(":")
        if not sealed.startswith(_SEALED) or not encoded:
            raise _damaged(context)
        if self._aead is None:
            raise CredentialsMissing(
                f"the stored token ({context}) is encrypted and ENCRYPTION_KEY is not set",
                hint="set ENCRYPTION_KEY to the key it was stored with",
                code="key_missing",
            )
        if key_id != self._key_id:
            raise CredentialsMissing(
                f"the stored token ({context}) was encrypted with another ENCRYPTION_KEY",
                hint="set the key it was stored with; to change keys: vodtender auth rekey",
                code="key_wrong",
            )
        try:
            raw = base64.urlsafe_b64decode(encoded)
            opened = self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(context))
            return opened.decode()
        except (InvalidTag, ValueError) as error:
            raise _damaged(context) from error

    def is_current(self, sealed: str) -> bool:
        """Whether it is stored the way `seal` would store it now; if not, `auth rekey` has work."""
        if self._aead is None:
            return sealed.startswith(_PLAIN)
        return sealed.startswith(f"{_SEALED}{self._key_id}:")


def _key_id(key: bytes) -> str:
    """Eight hexadecimal digits that identify a key and say nothing about it."""
    return hashlib.blake2b(b"", key=key, person=b"vodtender key id", digest_size=4).hexdigest()


def _bound(context: str) -> bytes:
    return f"vodtender\0{_SEALED}\0{context}".encode()


def _damaged(context: str) -> CredentialsMissing:
    return CredentialsMissing(
        f"the stored token ({context}) is damaged or was moved from another row",
        hint=_LOGIN,
        code="token_damaged",
    )
