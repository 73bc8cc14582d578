"""Keeps tokens unreadable in the database: AES-256-GCM under `ENCRYPTION_KEY`.

A sealed text is `v1:<key id>:<base64 of nonce, ciphertext and tag>`. The key id tells a wrong
key from a damaged value. The context (which row, which column) is authenticated with it, so a
value that is copied into another row does not open there. Without a key, texts are kept as
`plain:<text>`, which a cipher with a key still opens, so that encryption can be turned on.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable

from vodtender.errors import CredentialsMissing

KEY_BYTES = 32
_NONCE_BYTES = 12
_SEALED = "v1:"
_PLAIN = "plain:"


class TokenCipher:
    """Seals texts under one key, or with None leaves them readable. Opens what was sealed
    under that key, under `old_key`, or not at all."""

    def __init__(
        self,
        key: bytes | None,
        old_key: bytes | None = None,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        keys = [one for one in (key, old_key) if one is not None]
        if any(len(one) != KEY_BYTES for one in keys):
            raise ValueError("a key must have 32 bytes")
        self._key_id = None if key is None else _key_id(key)
        self._keys = {_key_id(one): one for one in keys}
        self._random_bytes = random_bytes

    @property
    def encrypts(self) -> bool:
        """Whether there is a key."""
        return self._key_id is not None

    def seal(self, plaintext: str, context: str) -> str:
        """The form to store. `context` names the place, the same at `open`."""
        if self._key_id is None:
            return _PLAIN + plaintext
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._random_bytes(_NONCE_BYTES)
        aead = AESGCM(self._keys[self._key_id])
        sealed = nonce + aead.encrypt(nonce, plaintext.encode(), _bound(context))
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
        if key_id not in self._keys:
            raise _no_key(context, is_set=self.encrypts)
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.urlsafe_b64decode(encoded)
            aead = AESGCM(self._keys[key_id])
            return aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(context)).decode()
        except (InvalidTag, ValueError) as error:
            raise _damaged(context) from error

    def is_current(self, sealed: str) -> bool:
        """Whether it is stored the way `seal` would store it now; if not, `auth rekey` has work."""
        if self._key_id is None:
            return sealed.startswith(_PLAIN)
        return sealed.startswith(f"{_SEALED}{self._key_id}:")

    @staticmethod
    def is_plain(sealed: str) -> bool:
        """Whether it was stored without a key."""
        return sealed.startswith(_PLAIN)


def _key_id(key: bytes) -> str:
    """Eight hexadecimal digits that identify a key and say nothing about it."""
    return hashlib.blake2b(b"", key=key, person=b"vodtender key id", digest_size=4).hexdigest()


def _bound(context: str) -> bytes:
    return f"vodtender\0{_SEALED}\0{context}".encode()


def _no_key(context: str, *, is_set: bool) -> CredentialsMissing:
    if not is_set:
        return CredentialsMissing(
            f"what is stored as {context} is encrypted, and ENCRYPTION_KEY is not set",
            hint="set ENCRYPTION_KEY to the key it was stored with",
            code="key_missing",
        )
    return CredentialsMissing(
        f"what is stored as {context} was encrypted with another ENCRYPTION_KEY",
        hint="set OLD_ENCRYPTION_KEY to the key it was stored with, then: vodtender auth rekey",
        code="key_wrong",
    )


def _damaged(context: str) -> CredentialsMissing:
    return CredentialsMissing(
        f"what is stored as {context} is damaged or was moved from another row",
        hint="log in again: vodtender auth login youtube (or twitch)",
        code="token_damaged",
    )
