"""What is kept sealed, between the database and those who use it."""

from __future__ import annotations

from dataclasses import dataclass

from vodtender import log
from vodtender.clients.token_cipher import TokenCipher
from vodtender.config.settings import Settings
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.store.tokens import SealedSession, StoredTokens


@dataclass(frozen=True, slots=True)
class OpenTokens:
    """One account's tokens, readable. `client` is None where the settings' own counts."""

    stored: StoredTokens
    tokens: Tokens
    client: ClientCredentials | None


class TokenBox:
    """Seals secrets on their way into the database and opens them on their way out. What it
    has had in its hands never shows in a log."""

    def __init__(self, settings: Settings) -> None:
        self._cipher = TokenCipher(settings.encryption_key, settings.old_encryption_key)

    @property
    def encrypts(self) -> bool:
        """Whether ENCRYPTION_KEY is set."""
        return self._cipher.encrypts

    def open(self, stored: StoredTokens) -> OpenTokens:
        """Raises CredentialsMissing when the key is missing or wrong."""
        access_token, refresh_token, client_secret = (
            None if sealed is None else self._cipher.open(sealed, place)
            for sealed, place in _sealed_texts(stored)
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
        owner_id: str | None,
        owner_name: str | None,
    ) -> StoredTokens:
        """The row to store. `client` is given when it is not the one of the settings."""
        hide(tokens.access_token, tokens.refresh_token, client.client_secret if client else None)

        def sealed(text: str, column: str) -> str:
            return self._cipher.seal(text, f"{provider}/{account}/{column}")

        refresh_token = tokens.refresh_token

        return StoredTokens(
            provider=provider,
            account=account,
            access_token=sealed(tokens.access_token, "access_token"),
            refresh_token=sealed(refresh_token, "refresh_token") if refresh_token else None,
            client_secret=sealed(client.client_secret, "client_secret") if client else None,
            client_id=client.client_id if client else None,
            expires_at=tokens.expires_at,
            scopes=" ".join(tokens.scopes),
            owner_id=owner_id,
            owner_name=owner_name,
            problem=None,
        )

    def seal_session(self, uri: str, twitch_vod_id: str, part: int) -> str:
        """The address of an upload session, as it is stored: whoever knows it may send."""
        hide(uri)
        return self._cipher.seal(uri, _session_context(twitch_vod_id, part))

    def open_session(self, sealed: str, twitch_vod_id: str, part: int) -> str:
        """See `seal_session`. Raises CredentialsMissing."""
        uri = self._cipher.open(sealed, _session_context(twitch_vod_id, part))
        hide(uri)
        return uri

    def is_plain(self, stored: StoredTokens) -> bool:
        """Whether everybody can read a row."""
        return self._cipher.is_plain(stored.access_token)

    # --- after a change of the key ------------------------------------------------------

    def is_current(self, stored: StoredTokens) -> bool:
        """Whether a row is sealed as it would be now."""
        return all(
            sealed is None or self._cipher.is_current(sealed) for sealed, _ in _sealed_texts(stored)
        )

    def reseal(self, stored: StoredTokens) -> tuple[str | None, str | None, str | None]:
        """A row's sealed texts, the way they would be sealed now. Raises CredentialsMissing."""
        first, second, third = (
            None if sealed is None else self._cipher.seal(self._cipher.open(sealed, place), place)
            for sealed, place in _sealed_texts(stored)
        )
        return first, second, third

    def is_current_session(self, session: SealedSession) -> bool:
        """See `is_current`."""
        return self._cipher.is_current(session.session_uri)

    def is_plain_session(self, session: SealedSession) -> bool:
        """See `is_plain`."""
        return self._cipher.is_plain(session.session_uri)

    def reseal_session(self, session: SealedSession) -> str:
        """See `reseal`."""
        place = _session_context(session.twitch_vod_id, session.part)
        return self._cipher.seal(self._cipher.open(session.session_uri, place), place)


def hide(*secrets: str | None) -> None:
    """From now on no log line and no message shows them."""
    for secret in secrets:
        if secret:
            log.hide(secret)


def _sealed_texts(stored: StoredTokens) -> tuple[tuple[str | None, str], ...]:
    """The sealed texts of a row (access token, refresh token, client secret), each with the
    context that it was sealed in."""
    where = f"{stored.provider}/{stored.account}"
    return (
        (stored.access_token, f"{where}/access_token"),
        (stored.refresh_token, f"{where}/refresh_token"),
        (stored.client_secret, f"{where}/client_secret"),
    )


def _session_context(twitch_vod_id: str, part: int) -> str:
    return f"upload/{twitch_vod_id}/{part}"
