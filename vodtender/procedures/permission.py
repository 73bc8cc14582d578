"""Getting a service's permission: in a browser, by a code, or from a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from vodtender.config.settings import Settings
from vodtender.errors import (
    AuthExpired,
    CredentialsMissing,
    RateLimited,
    SettingsError,
    Transient,
)
from vodtender.model.tokens import ClientCredentials, Tokens, parse_login
from vodtender.pipeline.oauth_services import Service
from vodtender.pipeline.token_box import TokenBox, hide
from vodtender.store.tokens import StoredTokens

PATIENCE = timedelta(minutes=10)
"""How long a login in the browser may take."""
_GLANCE_SECONDS = 0.2
_SLOWER_SECONDS = 5.0
"""RFC 8628, section 3.5: so much longer to wait after each `slow_down`."""

Clock = Callable[[], datetime]


class Person(Protocol):
    """Who logs in. Nothing they are shown is a secret, and yet nobody else's business."""

    def open(self, url: str) -> None:
        """The page on which to consent."""

    def enter(self, url: str, code: str) -> None:
        """Where to go with any browser, and the code to enter there."""

    def typed(self) -> str | None:
        """What they have typed meanwhile; None: nothing. Does not wait."""

    def tell(self, text: str) -> None:
        """Something that they should know."""

    def wait(self, seconds: float) -> None:
        """Lets time go by."""


def client_for(
    settings: Settings, service: Service, before: StoredTokens | None
) -> ClientCredentials:
    """Who is to ask: the application that the account has used so far, else that of the
    settings. Raises CredentialsMissing when there is neither."""
    if before is not None and before.client_id is not None:
        try:
            own = TokenBox(settings).open(before).client
        except CredentialsMissing:
            own = None  # logging in is what mends that
        if own is not None:
            return own
    return service.needed_client(settings)


def check_scopes(settings: Settings, service: Service) -> None:
    """Raises SettingsError when a login would not ask for enough."""
    missing = service.missing_scopes(service.scopes(settings), settings)
    if missing:
        raise SettingsError(
            f"{service.prefix}_SCOPES does not contain {' '.join(missing)}, without which an "
            "upload cannot be checked",
            hint=f"unset {service.prefix}_SCOPES, or add it there",
            code="scope_missing",
        )


def by_browser(
    settings: Settings, service: Service, client: ClientCredentials, person: Person, clock: Clock
) -> Tokens:
    """In a browser on this machine; or on another one, if the person brings the address at
    which it ends.

    Raises:
        AuthExpired: it was not permitted, or nobody came (`login_timeout`).
        Refused: the redirect URI does not lead here.
    """
    from vodtender.clients.oauth_grants import Challenge
    from vodtender.clients.oauth_redirect import RedirectReceiver

    redirect_uri = service.redirect_uri(settings)
    assert redirect_uri is not None, "asked before"
    challenge = Challenge.new()
    ends = clock() + PATIENCE
    with RedirectReceiver(redirect_uri, challenge.state) as receiver:
        redirect_uri = receiver.redirect_uri
        scopes = service.scopes(settings)
        person.open(
            service.grants.authorization_url(client.client_id, redirect_uri, scopes, challenge)
        )
        while (code := receiver.poll(_GLANCE_SECONDS)) is None:
            typed = person.typed()
            if typed and not receiver.paste(typed):
                person.tell("that is not the address at which this login ends")
            if clock() >= ends:
                raise AuthExpired(
                    f"nobody finished the login within {PATIENCE.total_seconds():.0f} s",
                    hint="without a browser on this machine, add --device",
                    code="login_timeout",
                )
    return service.grants.exchange_code(client, code, redirect_uri, challenge, clock())


def by_code(
    settings: Settings, service: Service, client: ClientCredentials, person: Person, clock: Clock
) -> Tokens:
    """With a code to be entered in a browser anywhere.

    Raises:
        AuthExpired: it was denied, nobody entered the code in time, or the service gives no
            such permission this way.
    """
    grants, scopes = service.grants, service.scopes(settings)
    login = grants.begin_device_login(client, scopes, clock())
    hide(login.device_code)
    person.enter(login.verification_url, login.user_code)
    pause = login.interval_seconds
    while True:
        person.wait(pause)
        now = clock()
        try:
            found = grants.poll_device_login(client, login, scopes, now)
        except AuthExpired as error:
            if error.code != "slow_down" or now >= login.expires_at:
                raise
            pause += _SLOWER_SECONDS
        except (Transient, RateLimited):
            if now >= login.expires_at:
                raise
        else:
            if found is not None:
                return found


def by_import(
    settings: Settings, service: Service, text: str, clock: Clock
) -> tuple[ClientCredentials, Tokens]:
    """From the JSON of a login made elsewhere, proved by renewing it once.

    Raises:
        UsageError: it is none.
        CredentialsMissing: neither it nor the settings say whose application it belongs to.
        AuthExpired: the service does not accept it.
    """
    found = parse_login(text)
    hide(found.refresh_token, found.client.client_secret if found.client else None)
    client = found.client or service.needed_client(settings)
    try:
        return client, service.grants.refresh(client, found.refresh_token, clock())
    except AuthExpired as error:
        if found.client is None:
            error.hint = (
                f"if it was made for another application than {service.prefix}_CLIENT_ID, the "
                f"file must hold its client_id and client_secret; else: {error.hint}"
            )
        raise
