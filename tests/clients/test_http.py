"""The HTTP session: where it goes, whom it trusts, when it gives up, what a failure means."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from tests.sandbox.certificates import Certificates
from tests.sandbox.world import World
from vodtender.clients import http
from vodtender.errors import SettingsError, Transient, Uncertain

URL = "https://id.twitch.tv/oauth2/validate"


@contextmanager
def listener(answer: bytes | None = b"") -> Iterator[int]:
    """A port that reads a request's beginning and answers; None: it says nothing at all."""
    done = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    if answer is None:
                        done.wait(10)
                    else:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "https_proxy",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def failure(url: str, session: requests.Session | None = None) -> requests.RequestException:
    with pytest.raises(requests.RequestException) as caught:
        (session or http.session()).post(url, data=b"body")
    return caught.value


# --- where it goes and whom it trusts -----------------------------------------------------


def test_proxy_and_certificate_come_from_the_environment(in_world: World) -> None:
    assert http.session().get(URL).status_code == 401
    [seen] = in_world.record.requests
    assert seen.host == "id.twitch.tv"
    assert seen.headers["user-agent"].startswith("vodtender/")


def test_our_certificate_variable_wins_over_those_of_the_machine(
    in_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    Certificates().write_authority(other)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    assert http.session().get(URL).status_code == 401
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(in_world.certificate_path))
    monkeypatch.delenv("SSL_CERT_FILE")
    assert http.session().get(URL).status_code == 401


def test_no_proxy_is_honoured(in_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with listener(b"HTTP/1.1 204 No Content\r\n\r\n") as port:
        assert http.session().get(f"http://127.0.0.1:{port}/").status_code == 204
    assert in_world.record.requests == []


def test_an_untrusted_certificate_is_transient_and_says_what_to_do(
    in_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    Certificates().write_authority(other)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    answer = http.answer_for(failure(URL), what="asking", may_take_effect=True)
    assert isinstance(answer, Transient)
    assert "certificate" in answer.message
    assert "SSL_CERT_FILE" in answer.hint


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:port", "ftp://127.0.0.1:1"])
def test_a_proxys_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    answer = http.answer_for(failure(URL), what="asking", may_take_effect=True)
    assert isinstance(answer, Transient)
    assert (answer.message, answer.hint) == (
        "asking: the address of the proxy is malformed",
        "check HTTPS_PROXY and NO_PROXY",
    )


def test_a_certificate_file_that_is_not_there_is_a_setting_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        http.session(environ={"SSL_CERT_FILE": str(tmp_path / "none.pem")})
    (tmp_path / "page.pem").write_text("<html>")
    with pytest.raises(SettingsError, match=r"page\.pem, which holds no certificate"):
        http.session(environ={"SSL_CERT_FILE": str(tmp_path / "page.pem")})


def test_a_netrc_never_replaces_our_credentials(
    in_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    session = http.session()
    session.get(URL, headers={"Authorization": "Bearer ours"})
    session.get(URL)
    first, second = in_world.record.requests
    assert first.headers["authorization"] == "Bearer ours"
    assert "authorization" not in second.headers


# --- giving up ----------------------------------------------------------------------------


@pytest.mark.usefixtures("no_proxy")
def test_a_silent_server_times_out_without_being_asked_to() -> None:
    session = http.session(read_timeout_seconds=0.2)
    with listener(None) as port:
        answer = http.answer_for(
            failure(f"http://127.0.0.1:{port}/", session), what="asking", may_take_effect=True
        )
    assert isinstance(answer, Uncertain)
    assert "no answer within the time limit" in answer.message


# --- what a failure means -----------------------------------------------------------------


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_before_the_request_is_sent_nothing_is_uncertain(scheme: str) -> None:
    """Refused connection, unknown host, a URL that is none."""
    for url in (f"{scheme}://127.0.0.1:{free_port()}/", f"{scheme}://no-such.invalid/", "x://y"):
        error = failure(url)
        assert not http.was_sent(error)
        assert isinstance(http.answer_for(error, what="w", may_take_effect=True), Transient)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_failed_handshake_is_before_the_request(greeting: bytes) -> None:
    with listener(greeting) as port:
        error = failure(f"https://127.0.0.1:{port}/")
    assert not http.was_sent(error)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"])
def test_a_proxy_that_refuses_is_before_the_request(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with listener(answer) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("https_proxy", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        error = failure(URL)
    assert not http.was_sent(error)
    told = http.answer_for(error, what="asking", may_take_effect=True)
    assert isinstance(told, Transient)
    assert "hunter2" not in told.message + told.hint


def test_a_lost_answer_is_uncertain_only_where_that_matters(in_world: World) -> None:
    in_world.faults.lose_answer(times=2)
    for may_take_effect, kind in ((True, Uncertain), (False, Transient)):
        error = failure(URL)
        assert http.was_sent(error)
        answer = http.answer_for(error, what="w", may_take_effect=may_take_effect)
        assert type(answer) is kind
        assert "the connection broke" in answer.message
        assert "proxy" not in answer.message + answer.hint  # which the request had passed


def test_an_answer_that_breaks_off_was_sent(in_world: World) -> None:
    in_world.faults.cut(3)
    error = failure(URL)
    assert http.was_sent(error)
    assert "broke" in http.answer_for(error, what="w").message


def test_nothing_is_sent_twice_by_itself(in_world: World) -> None:
    in_world.faults.lose_answer(times=None)
    failure(URL)
    assert in_world.record.count() == 1


def test_an_unknown_error_counts_as_sent() -> None:
    assert http.was_sent(requests.ConnectionError("from elsewhere"))
    assert http.was_sent(ssl.SSLError("while reading"))
