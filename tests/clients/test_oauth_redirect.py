"""The end of a browser login on this machine."""

from __future__ import annotations

import socket
from urllib.parse import urlencode

import pytest

from vodtender.clients.http import session
from vodtender.clients.oauth_redirect import RedirectReceiver
from vodtender.errors import AuthExpired, Refused

ANY_PORT = "http://127.0.0.1:0/"


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


def visit(receiver: RedirectReceiver, **query: str) -> int:
    url = f"{receiver.redirect_uri}?{urlencode(query)}"
    return session().get(url, headers={"Connection": "close"}).status_code


def test_the_code_arrives() -> None:
    with RedirectReceiver(ANY_PORT, "state") as receiver:
        assert receiver.redirect_uri.startswith("http://127.0.0.1:")
        assert visit(receiver, code="4/abc", state="state") == 200
        assert receiver.poll(5) == "4/abc"


def test_an_answer_to_another_login_is_not_taken() -> None:
    with RedirectReceiver("http://localhost:0/auth/callback", "state") as receiver:
        assert receiver.redirect_uri.endswith("/auth/callback")
        assert visit(receiver, code="evil", state="other") == 400
        assert visit(receiver, code="evil") == 400
        assert visit(receiver, state="state") == 400
        base = receiver.redirect_uri.removesuffix("/auth/callback")
        assert session().get(f"{base}/favicon.ico").status_code == 404
        assert receiver.poll(0.01) is None
        visit(receiver, code="good", state="state")
        assert receiver.poll(5) == "good"


def test_a_refused_permission_is_told() -> None:
    with RedirectReceiver(ANY_PORT, "state") as receiver:
        visit(receiver, error="access_denied", state="state")
        with pytest.raises(AuthExpired) as caught:
            receiver.poll(5)
    assert caught.value.code == "access_denied"


@pytest.mark.parametrize(
    "uri", ["https://example.com/callback", "https://localhost:1/", "http://10.0.0.1:80/", "x"]
)
def test_a_redirect_to_elsewhere_is_refused_with_a_way_out(uri: str) -> None:
    with pytest.raises(Refused, match="this machine") as caught:
        RedirectReceiver(uri, "state")
    assert "--device" in caught.value.hint


def test_a_taken_port_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Refused, match="nothing can listen"),
        RedirectReceiver(f"http://127.0.0.1:{taken.getsockname()[1]}/", "state"),
    ):
        pass


def test_the_port_is_free_again_at_once() -> None:
    with RedirectReceiver(ANY_PORT, "state") as receiver:
        uri = receiver.redirect_uri
        visit(receiver, code="c", state="state")
    with RedirectReceiver(uri, "state") as again:
        assert again.redirect_uri == uri


def test_the_address_can_be_brought_from_another_machine() -> None:
    with RedirectReceiver(ANY_PORT, "state") as receiver:
        assert not receiver.paste("hello")
        assert not receiver.paste(f"{receiver.redirect_uri}?code=evil&state=other")
        assert receiver.poll(0.01) is None
        assert receiver.paste(f" {receiver.redirect_uri}?state=state&code=4%2Fabc\n")
        assert receiver.poll(5) == "4/abc"
