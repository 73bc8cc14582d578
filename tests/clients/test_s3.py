"""S3: nothing counts as uploaded that the store does not hold, and errors are ours."""

from __future__ import annotations

import hashlib
import socket
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.s3 import S3, Fault
from tests.sandbox.certificates import Certificates
from tests.sandbox.faults import Faults
from tests.sandbox.proxy import Proxy
from tests.sandbox.record import Record
from tests.sandbox.wire import Response
from tests.soak.relay import Badness, Relay
from vodtender.clients import s3_upload
from vodtender.clients.s3 import Stored, open_store
from vodtender.clients.s3_upload import upload
from vodtender.config.settings import Settings
from vodtender.errors import (
    AuthExpired,
    CredentialsMissing,
    Exit,
    NotFound,
    Refused,
    Rejected,
    Stopped,
    Transient,
    VodtenderError,
)
from vodtender.model.s3_location import S3Location

MIB = 1024**2


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.write_bytes(b"some bytes")
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that takes two parts."""
    path = tmp_path / "large"
    path.write_bytes(Random(1).randbytes(9 * MIB + 5))
    return path


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """A file that takes three parts."""
    path = tmp_path / "larger"
    path.write_bytes(Random(1).randbytes(17 * MIB + 5))
    return path


def test_what_was_uploaded_is_there_whole_with_its_class(s3: S3, large: Path) -> None:
    told: list[int] = []
    sent = upload(
        s3.store,
        large,
        s3.at("a/b"),
        storage_class="STANDARD_IA",
        metadata={"made-by": "vodtender"},
        progress=told.append,
    )
    data = large.read_bytes()
    assert (sent.proof, sent.crc32, sent.stored.size_bytes) == (
        "crc32",
        zlib.crc32(data),
        len(data),
    )
    assert told == sorted(told)
    assert told[-1] == len(data)
    found = s3.store.head(s3.at("a/b"))
    assert found is not None
    assert (found.storage_class, found.metadata) == ("STANDARD_IA", {"made-by": "vodtender"})
    assert b"".join(s3.store.stream(s3.at("a/b"))) == data


def test_an_empty_file_can_be_uploaded_and_had_back(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    upload(s3.store, tmp_path / "empty", s3.at("e"))
    assert s3.store.download(s3.at("e"), tmp_path / "back").size_bytes == 0
    assert (tmp_path / "back").read_bytes() == b""


def test_a_download_has_its_digests_and_is_compared(s3: S3, large: Path, tmp_path: Path) -> None:
    upload(s3.store, large, s3.at("k"))
    received = s3.store.download(s3.at("k"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert received.crc32 == zlib.crc32(large.read_bytes())
    assert received.size_bytes == large.stat().st_size


def test_the_same_file_is_not_sent_twice(s3: S3, large: Path) -> None:
    upload(s3.store, large, s3.at("k"))
    s3.faults()
    assert upload(s3.store, large, s3.at("k")).proof == "crc32"
    assert "UploadPart" not in s3.seen()
    large.write_bytes(b"x" + large.read_bytes()[1:])
    upload(s3.store, large, s3.at("k"))
    assert "UploadPart" in s3.seen()


@pytest.mark.parametrize("digest", ["sha256", "crc32"])
def test_a_file_that_is_not_what_it_should_be_never_becomes_an_object(
    s3: S3, large: Path, digest: str
) -> None:
    data = large.read_bytes()
    right = {"sha256": hashlib.sha256(data).hexdigest(), "crc32": zlib.crc32(data)}
    wrong = {"sha256": "0" * 64, "crc32": zlib.crc32(data) ^ 1}

    def bring(digests: dict[str, Any]) -> None:
        upload(s3.store, large, s3.at("k"), **{digest: digests[digest]})

    with pytest.raises(Transient, match="not what it was"):
        bring(wrong)
    assert s3.keys() == []
    assert s3.store.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []) == []
    bring(right)
    with pytest.raises(Transient, match="not what it was"):
        bring(wrong)
    bring(right)


def test_a_store_that_is_busy_is_asked_again(s3: S3, large: Path) -> None:
    s3.faults(Fault(operation="UploadPart", code="SlowDown", status=503, times=2))
    assert upload(s3.store, large, s3.at("k")).stored.size_bytes == large.stat().st_size


def test_a_store_that_stays_busy_is_transient_and_the_next_try_goes_on(
    s3: S3, larger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store(s3.settings())
    monkeypatch.setattr(s3_upload, "_SIDE_BY_SIDE", 1)
    s3.faults(Fault(operation="UploadPart", code="SlowDown", status=503, skip=1))
    with pytest.raises(Transient) as caught:
        upload(store, larger, s3.at("k"))
    assert caught.value.code == "s3_busy"
    assert s3.keys() == []
    s3.faults()
    upload(store, larger, s3.at("k"))
    assert s3.seen().count("UploadPart") == 2
    assert b"".join(s3.store.stream(s3.at("k"))) == larger.read_bytes()


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("InvalidAccessKeyId", 403, (AuthExpired, "auth_expired", Exit.CREDENTIALS)),
        ("SignatureDoesNotMatch", 403, (AuthExpired, "auth_expired", Exit.CREDENTIALS)),
        ("ExpiredToken", 400, (AuthExpired, "auth_expired", Exit.CREDENTIALS)),
        ("AccessDenied", 403, (AuthExpired, "s3_forbidden", Exit.CREDENTIALS)),
        ("RequestTimeTooSkewed", 403, (AuthExpired, "clock_skew", Exit.CREDENTIALS)),
        ("NoSuchBucket", 404, (NotFound, "no_bucket", Exit.NOT_FOUND)),
        ("InvalidStorageClass", 400, (Rejected, "s3_refused", Exit.FAILED)),
    ],
)
def test_errors_are_told_apart_by_their_codes(
    s3: S3, small: Path, code: str, status: int, expected: tuple[type[VodtenderError], str, Exit]
) -> None:
    s3.faults(Fault(operation="Create", code=code, status=status))
    with pytest.raises(VodtenderError) as caught:
        upload(s3.store, small, s3.at("k"))
    assert (type(caught.value), caught.value.code, caught.value.exit) == expected


def test_a_bucket_that_is_not_there(s3: S3, small: Path) -> None:
    with pytest.raises(NotFound) as caught:
        upload(s3.store, small, type(s3.at())("no-such-bucket", "k"))
    assert caught.value.code == "no_bucket"


def test_no_credentials_at_all(s3: S3, small: Path) -> None:
    store = open_store(Settings(aws_endpoint_url=s3.endpoint, aws_region="us-east-1"))
    with pytest.raises(CredentialsMissing):
        upload(store, small, s3.at("k"))


def test_nobody_listens(s3: S3, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = open_store(s3.settings(aws_endpoint_url=f"http://127.0.0.1:{port}"))
    with pytest.raises(Transient) as caught:
        upload(store, small, s3.at("k"))
    assert caught.value.code == "s3_unreachable"


def test_a_bit_that_flips_on_the_way_is_no_upload(s3: S3, large: Path) -> None:
    s3.faults(Fault(operation="UploadPart", flip=True, times=1))
    with pytest.raises(Transient) as caught:
        upload(s3.store, large, s3.at("k"))
    assert caught.value.code == "s3_damaged"
    s3.faults()
    upload(s3.store, large, s3.at("k"))
    assert b"".join(s3.store.stream(s3.at("k"))) == large.read_bytes()


@pytest.mark.parametrize("flip", [False, True])
def test_a_store_that_knows_no_checksums_proves_itself_by_its_etag(
    s3: S3, large: Path, flip: bool
) -> None:
    plain = [Fault(operation=name, plain=True) for name in ("Create", "Complete")]
    parts = Fault(operation="UploadPart", plain=True, flip=flip)
    s3.faults(*plain, parts)
    if flip:
        with pytest.raises(Transient) as caught:
            upload(s3.store, large, s3.at("k"))
        assert caught.value.code == "s3_damaged"
        return
    assert upload(s3.store, large, s3.at("k")).proof == "etag"


def test_a_store_that_refuses_checksums_is_used_without(s3: S3, large: Path) -> None:
    s3.faults(
        Fault(operation="Create", code="NotImplemented", status=501, times=1),
        Fault(operation="Complete", plain=True),
    )
    assert upload(s3.store, large, s3.at("k")).proof == "etag"


def test_an_object_that_the_store_loses_is_no_upload(s3: S3, small: Path) -> None:
    s3.faults(Fault(operation="Complete", loses=True))
    with pytest.raises(Transient) as caught:
        upload(s3.store, small, s3.at("k"))
    assert caught.value.code == "s3_lost"


def test_an_answer_that_is_lost_after_the_object_is_there_is_a_success(
    s3: S3, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try of the same request finds no such upload any more."""
    upload(s3.store, small, s3.at("other"))
    store = s3.store
    complete = store.client.complete_multipart_upload

    def twice(**asked: object) -> object:
        complete(**asked)
        return complete(**asked)

    monkeypatch.setattr(store.client, "complete_multipart_upload", twice)
    assert upload(store, small, s3.at("k")).proof == "crc32"


def test_a_connection_that_is_cut_in_the_middle_of_parts(s3: S3, larger: Path) -> None:
    where = urlsplit(s3.endpoint)
    relay = Relay(
        lambda: socket.create_connection((where.hostname or "", where.port or 0)),
        Badness(cut=0.002),
        Random(4),
    )
    store = open_store(s3.settings(aws_endpoint_url=f"http://127.0.0.1:{relay.port}"))
    try:
        for _ in range(20):
            try:
                sent = upload(store, larger, s3.at("k"))
                break
            except Transient:
                continue
        else:
            pytest.fail("it never arrived")
        assert relay.cuts
        assert sent.proof == "crc32"
        received = store.download(s3.at("k"), larger.with_name("back"))
        assert received.crc32 == sent.crc32
    finally:
        relay.close()


def test_a_stop_is_heeded(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_upload, "_SIDE_BY_SIDE", 2)
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    seen: list[int] = []
    with pytest.raises(Stopped):
        upload(s3.store, path, s3.at("k"), progress=seen.append, should_stop=lambda: bool(seen))
    assert s3.keys() == []


def test_unfinished_uploads_can_be_swept_away(
    s3: S3, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store(s3.settings())
    s3.faults(Fault(operation="UploadPart", code="SlowDown", status=503))
    with pytest.raises(Transient):
        upload(store, large, s3.at("p/k"))
    s3.faults()
    now = datetime.now(UTC)
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)  # moto lets all of them begin in 2010

    def swept(before: datetime, name: str = "k") -> list[S3Location]:
        return s3.store.abort_unfinished(s3.at("p/"), before=before, only=lambda one: one == name)

    assert swept(long_ago) == swept(now + timedelta(minutes=1), "another") == []
    assert swept(now + timedelta(minutes=1)) == [s3.at("p/k")]
    assert s3.store.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []) == []


def test_what_lies_in_an_archive_class_must_be_asked_for(
    s3: S3, small: Path, tmp_path: Path
) -> None:
    sent = upload(s3.store, small, s3.at("k"), storage_class="GLACIER")
    assert not sent.stored.is_readable
    with pytest.raises(Refused) as caught:
        s3.store.get(s3.at("k"))
    assert caught.value.code == "archived"
    s3.store.ask_for(s3.at("k"), tier="Standard", days=2)
    s3.store.ask_for(s3.at("k"), tier="Standard", days=2)
    found = s3.store.head(s3.at("k"))
    assert found is not None
    assert found.retrieval is not None
    assert not found.retrieval.under_way
    assert found.is_readable
    assert s3.store.get(s3.at("k")) == b"some bytes"


def test_the_class_of_an_object_can_be_changed(s3: S3, small: Path) -> None:
    upload(s3.store, small, s3.at("k"), metadata={"a": "b"})
    s3.store.change_class(s3.at("k"), "GLACIER_IR")
    found = s3.store.head(s3.at("k"))
    assert found is not None
    assert (found.storage_class, found.metadata) == ("GLACIER_IR", {"a": "b"})
    with pytest.raises(NotFound):
        s3.store.change_class(s3.at("other"), "GLACIER_IR")


def test_small_objects_are_listed_had_back_and_removed(s3: S3) -> None:
    s3.store.put(s3.at("p/b"), b"2")
    s3.store.put(s3.at("p/a"), b"1")
    s3.store.put(s3.at("q"), b"3")
    assert [found.at.name for found in s3.store.listing(s3.at("p/"))] == ["a", "b"]
    assert s3.store.get(s3.at("p/a")) == b"1"
    s3.store.delete(s3.at("p/a"))
    s3.store.delete(s3.at("p/a"))
    assert s3.store.head(s3.at("p/a")) is None
    with pytest.raises(NotFound):
        s3.store.get(s3.at("p/a"))


def test_certificates_and_proxies_are_those_of_the_environment(
    s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    ours, others, record = tmp_path / "ours.pem", tmp_path / "others.pem", Record()
    proxy = Proxy({"store.example": lambda _request: Response(status=404)}, Faults(), record)
    proxy.certificates.write_authority(ours)
    Certificates().write_authority(others)
    proxy.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")

    def found() -> Stored | None:
        return open_store(s3.settings(aws_endpoint_url="https://store.example")).head(s3.at("k"))

    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(VodtenderError, match="SSL_CERT_FILE"):
            found()
        monkeypatch.setenv("SSL_CERT_FILE", str(others))
        with pytest.raises(Transient, match="certificate"):
            found()
        assert record.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(ours))
        assert found() is None
        (seen,) = record.requests
        assert (seen.method, seen.host, seen.path) == ("HEAD", "store.example", f"/{s3.bucket}/k")
    finally:
        proxy.stop()
