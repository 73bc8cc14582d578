"""Google's OAuth 2.0: accounts, consent, tokens.

Source: https://developers.google.com/identity/protocols/oauth2 (web-server, native-app and
limited-input-device flows).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.sandbox.accounts import (
    SCOPE_READONLY,
    SCOPE_YOUTUBE,
    AccessToken,
    Account,
    Consent,
    DeviceLogin,
)
from tests.sandbox.wire import Host, Request, Response

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_SCOPES = {SCOPE_YOUTUBE, SCOPE_READONLY}
"""Of YouTube's scopes, those that a login by code may ask for."""


@dataclass(eq=False)
class Google:
    """The token server, and who may get what from it."""

    client_id: str = "sandbox-client.apps.googleusercontent.com"
    client_secret: str = "GOCSPX-sandbox-secret"
    token_seconds: int = 3599
    rotate_refresh_tokens: bool = False
    clients: dict[str, str] = field(default_factory=dict)
    """Further OAuth clients (projects): id → secret."""
    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, AccessToken] = field(default_factory=dict)
    consenting: Account | None = None
    """Who sits at the browser; None: the first account."""
    refuse_consent: bool = False
    withheld: frozenset[str] = frozenset()
    """Scopes whose boxes the person does not tick."""
    device_clients: frozenset[str] | None = None
    """The clients of type "TVs and Limited Input devices"; None: all."""
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _codes: dict[str, Consent] = field(default_factory=dict, repr=False)
    _devices: dict[str, DeviceLogin] = field(default_factory=dict, repr=False)
    _count: int = 0

    def hosts(self) -> dict[str, Host]:
        return {
            "oauth2.googleapis.com": self.oauth,
            "accounts.google.com": self.browser,
        }

    # --- for tests ------------------------------------------------------------------

    def add_account(
        self,
        name: str = "default",
        *,
        scopes: tuple[str, ...] = (SCOPE_YOUTUBE,),
        client_id: str | None = None,
    ) -> Account:
        with self._lock:
            number = len(self.accounts) + 1
            digest = hashlib.sha1(f"channel {number}".encode()).hexdigest()[:22]
            account = Account(
                name,
                f"UC{digest}",
                f"{name.capitalize()} on YouTube",
                scopes,
                f"1//sandbox-refresh-{number}",
                client_id or self.client_id,
            )
            self.accounts[name] = account
            return account

    def issue(self, account: Account, scopes: tuple[str, ...] | None = None) -> str:
        """A new access token of this account."""
        with self._lock:
            value = f"ya29.sandbox-{self._next()}"
            token = AccessToken(value, account, scopes or account.scopes, account.client_id)
            self.tokens[value] = token
            return value

    def expire_tokens(self) -> None:
        """Every access token given out so far is refused from now on."""
        with self._lock:
            self.tokens.clear()

    def revoke(self, account: Account) -> None:
        """The person takes the permission back."""
        with self._lock:
            account.revoked = True
            self.tokens = {v: t for v, t in self.tokens.items() if t.account is not account}

    def approve_device(self, user_code: str | None = None, account: Account | None = None) -> None:
        """Somebody types the code (None: the latest one) and consents."""
        with self._lock:
            login = self._device(user_code)
            login.account = account or self._person()

    def deny_device(self, user_code: str | None = None) -> None:
        with self._lock:
            self._device(user_code).denied = True

    def token(self, request: Request) -> AccessToken | None:
        """Whose access token a request carries, if it is good."""
        with self._lock:
            return self.tokens.get(request.bearer or request.argument("access_token"))

    def credentials(self, account: Account | None = None) -> dict[str, str]:
        """What `auth import youtube` takes: the JSON of an authorized user."""
        account = account or self._person()
        return {
            "client_id": account.client_id,
            "client_secret": self._secret(account.client_id) or "",
            "refresh_token": account.refresh_token,
            "token_uri": "https://oauth2.googleapis.com/token",
            "scope": " ".join(account.scopes),
            "type": "authorized_user",
        }

    # --- on the wire ----------------------------------------------------------------

    def oauth(self, request: Request) -> Response:
        routes: dict[str, Callable[[Request], Response]] = {
            "/token": self._token,
            "/revoke": self._revoke,
            "/device/code": self._device_code,
            "/tokeninfo": self._tokeninfo,
        }
        route = routes.get(request.path)
        return route(request) if route else Response.of_json({"error": "not_found"}, 404)

    def browser(self, request: Request) -> Response:
        """The consent page: the person agrees at once."""
        if request.path not in {"/o/oauth2/v2/auth", "/o/oauth2/auth"}:
            return Response.of_text("not found", 404)
        with self._lock:
            client_id = request.argument("client_id")
            if self._secret(client_id) is None:
                return Response.of_text("Error 401: invalid_client", 401)
            redirect_uri = request.argument("redirect_uri")
            answer = {"state": request.argument("state")}
            if self.refuse_consent:
                return Response.redirect(
                    f"{redirect_uri}?{urlencode({**answer, 'error': 'access_denied'})}"
                )
            code = f"4/sandbox-{self._next()}"
            asked = request.argument("scope").split()
            scopes = tuple(scope for scope in asked if scope not in self.withheld)
            self._codes[code] = Consent(
                client_id,
                redirect_uri,
                scopes,
                self._person(),
                request.argument("code_challenge"),
                request.argument("code_challenge_method"),
            )
            answer |= {"code": code, "scope": " ".join(scopes)}
            return Response.redirect(f"{redirect_uri}?{urlencode(answer)}")

    def _token(self, request: Request) -> Response:
        form = request.form
        client_id = form.get("client_id", "")
        with self._lock:
            secret = self._secret(client_id)
            if secret is None:
                return _refused("invalid_client", "The OAuth client was not found.", 401)
            if form.get("client_secret") != secret:
                return _refused("invalid_client", "Unauthorized", 401)
            grants: dict[str, Callable[[dict[str, str]], Response]] = {
                "refresh_token": self._by_refresh_token,
                "authorization_code": self._by_code,
                DEVICE_GRANT: self._by_device,
            }
            grant = grants.get(form.get("grant_type", ""))
            if grant is None:
                text = f"Invalid grant_type: {form.get('grant_type', '')}"
                return _refused("unsupported_grant_type", text)
            return grant(form)

    def _by_refresh_token(self, form: dict[str, str]) -> Response:
        given = form.get("refresh_token")
        account = next((a for a in self.accounts.values() if a.refresh_token == given), None)
        if account is None or account.revoked or account.client_id != form["client_id"]:
            return _refused("invalid_grant", "Token has been expired or revoked.")
        more = {}
        if self.rotate_refresh_tokens:
            account.refresh_token = f"1//sandbox-refresh-r{self._next()}"
            more = {"refresh_token": account.refresh_token}
        return self._granted(account, account.scopes, more)

    def _by_code(self, form: dict[str, str]) -> Response:
        consent = self._codes.pop(form.get("code", ""), None)
        if consent is None or consent.client_id != form["client_id"]:
            return _refused("invalid_grant", "Malformed auth code.")
        if consent.redirect_uri != form.get("redirect_uri"):
            return _refused("redirect_uri_mismatch", "Bad Request")
        if consent.challenge and not consent.verifies(form.get("code_verifier", "")):
            return _refused("invalid_grant", "Invalid code verifier.")
        return self._consented(consent.account, consent.scopes, form["client_id"])

    def _by_device(self, form: dict[str, str]) -> Response:
        login = self._devices.get(form.get("device_code", ""))
        if login is None:
            return _refused("invalid_grant", "Invalid device code.")
        if login.denied:
            return _refused("access_denied", "Forbidden", 403)
        if login.account is None:
            return _refused("authorization_pending", "Precondition Required", 428)
        return self._consented(login.account, login.scopes, form["client_id"])

    def _consented(self, account: Account, scopes: tuple[str, ...], client_id: str) -> Response:
        account.scopes = scopes
        account.client_id = client_id
        account.revoked = False
        return self._granted(account, scopes, {"refresh_token": account.refresh_token})

    def _granted(self, account: Account, scopes: tuple[str, ...], more: dict[str, str]) -> Response:
        body: dict[str, Any] = {
            "access_token": self.issue(account, scopes),
            "expires_in": self.token_seconds,
            "scope": " ".join(scopes),
            "token_type": "Bearer",
        }
        return Response.of_json(body | more)

    def _revoke(self, request: Request) -> Response:
        given = request.form.get("token", "")
        with self._lock:
            held = self.tokens.get(given)
            account = held.account if held else None
            for known in self.accounts.values():
                if known.refresh_token == given:
                    account = known
            if account is None or account.revoked:
                return _refused("invalid_token", "Token expired or revoked")
            self.revoke(account)
            return Response.of_json({})

    def _tokeninfo(self, request: Request) -> Response:
        with self._lock:
            held = self.tokens.get(request.form.get("access_token", ""))
            if held is None:
                return _refused("invalid_token", "Invalid Value")
            body = {
                "azp": held.client_id,
                "aud": held.client_id,
                "scope": " ".join(held.scopes),
                "expires_in": str(self.token_seconds),
                "access_type": "offline",
            }
            return Response.of_json(body)

    def _device_code(self, request: Request) -> Response:
        with self._lock:
            client_id = request.form.get("client_id", "")
            if self._secret(client_id) is None:
                return _refused("invalid_client", "The OAuth client was not found.", 401)
            if self.device_clients is not None and client_id not in self.device_clients:
                return _refused("invalid_client", "Invalid client type.", 401)
            if not DEVICE_SCOPES.issuperset(request.form.get("scope", "").split()):
                return _refused("invalid_scope", "Invalid device flow scope.")
            number = self._next()
            device_code = f"AH-1Ng-sandbox-{number}"
            scopes = tuple(request.form.get("scope", "").split())
            login = DeviceLogin(client_id, scopes, f"SAND-BX{number:02d}")
            self._devices[device_code] = login
            body = {
                "device_code": device_code,
                "user_code": login.user_code,
                "expires_in": 1800,
                "interval": 1,
                "verification_url": "https://www.google.com/device",
            }
            return Response.of_json(body)

    # --- inside ---------------------------------------------------------------------

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _secret(self, client_id: str) -> str | None:
        return {self.client_id: self.client_secret, **self.clients}.get(client_id)

    def _person(self) -> Account:
        return self.consenting or next(iter(self.accounts.values()))

    def _device(self, user_code: str | None) -> DeviceLogin:
        logins = list(self._devices.values())
        if user_code is None:
            return logins[-1]
        return next(login for login in logins if login.user_code == user_code)


def _refused(error: str, description: str, status: int = 400) -> Response:
    return Response.of_json({"error": error, "error_description": description}, status)
