"""Tokens between the database, where they are sealed, and those who use them."""

from __future__ import annotations

from dataclasses import dataclass

from vodtender import log
from vodtender.clients.token_cipher import TokenCipher
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.store.tokens import StoredTokens


@dataclass(frozen=True, slots=True)
class OpenTokens:
    """One account's tokens, readable. `client` is None where the settings' own counts."""

    stored: StoredTokens
    tokens: Tokens
    client: ClientCredentials | None


class TokenBox:
    """Seals tokens on their way into the database and opens them on their way out. What it
    has had in its hands never shows in a log."""

    def __init__(self, key: bytes | None) -> None:
        self.cipher = TokenCipher(key)

    def open(self, stored: StoredTokens) -> OpenTokens:
        """Raises CredentialsMissing when the key is missing or wrong."""
        access_token, refresh_token, client_secret = (
            None if sealed is None else self.cipher.open(sealed, place)
            for sealed, place in sealed_texts(stored)
        )
        hide(access_token, refresh_token, client_secret)
        tokens = Tokens(
            access_token=access_token or "",
            refresh_token=refresh_token or None,
            expires_at=stored.expires_at,
            scopes=tuple(stored.scopes.split()),
        )
        client = None
        if stored.client_id:
            client = ClientCredentials(stored.client_id, client_secret or "")
        return OpenTokens(stored, tokens, client)

    def seal(
        self,
        provider: str,
        account: str,
        tokens: Tokens,
        client: ClientCredentials | None,
        *,
        owner_id: str | None = None,
        owner_name: str | None = None,
    ) -> StoredTokens:
        """The row to store. `client` is given when it is not the one of the settings."""
        hide(tokens.access_token, tokens.refresh_token, client.client_secret if client else None)
        where = f"{provider}/{account}"
        refresh_token = tokens.refresh_token
        return StoredTokens(
            provider=provider,
            account=account,
            access_token=self.cipher.seal(tokens.access_token, f"{where}/access_token"),
            refresh_token=self.cipher.seal(refresh_token, f"{where}/refresh_token")
            if refresh_token
            else None,
            client_secret=self.cipher.seal(client.client_secret, f"{where}/client_secret")
            if client
            else None,
            client_id=client.client_id if client else None,
            expires_at=tokens.expires_at,
            scopes=" ".join(tokens.scopes),
            owner_id=owner_id,
            owner_name=owner_name,
            problem=None,
        )

    def seal_text(self, text: str, context: str) -> str:
        """For an upload session's URI."""
        return self.cipher.seal(text, context)

    def open_text(self, sealed: str, context: str) -> str:
        """See `seal_text`."""
        return self.cipher.open(sealed, context)


def sealed_texts(stored: StoredTokens) -> tuple[tuple[str | None, str], ...]:
    """The sealed texts of a row (access token, refresh token, client secret), each with the
    context that it was sealed in."""
    where = f"{stored.provider}/{stored.account}"
    return (
        (stored.access_token, f"{where}/access_token"),
        (stored.refresh_token, f"{where}/refresh_token"),
        (stored.client_secret, f"{where}/client_secret"),
    )


def upload_context(twitch_vod_id: str, part: int) -> str:
    """The context in which an upload session's URI is sealed."""
    return f"upload/{twitch_vod_id}/{part}"


def hide(*secrets: str | None) -> None:
    """From now on no log line and no message shows them."""
    for secret in secrets:
        if secret:
            log.hide(secret)
