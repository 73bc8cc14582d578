"""Fixture: a store that speaks S3 (moto's), a bucket of one's own, and what can go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from vodtender.clients.s3 import Store, open_store
from vodtender.config.settings import Settings
from vodtender.model.s3_location import S3Location

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with requests whose path contains `key`, after the first `skip` of them,
    so many `times`: an error (`code` and `status`); a bit of the body `flip`s; the object that
    was written is lost (`loses`); or checksums are ignored, as other stores do (`plain`).

    `operation`: Create, UploadPart, Complete, PutObject, HeadObject, GetObject, List,
    ListUploads, ListParts, DeleteObject, Restore; `*` is any.
    """

    operation: str = "*"
    key: str = ""
    skip: int = 0
    times: int = 1_000_000
    code: str = ""
    status: int = 400
    flip: bool = False
    loses: bool = False
    plain: bool = False


@dataclass(frozen=True, slots=True)
class S3:
    """A store with an empty bucket."""

    endpoint: str
    bucket: str
    store: Store

    @property
    def environ(self) -> dict[str, str]:
        """What a subprocess needs to know of it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "NO_PROXY": "127.0.0.1",
        }

    def settings(self, **more: Any) -> Settings:
        return settings_for(self.endpoint, **more)

    def at(self, key: str = "") -> S3Location:
        return S3Location(self.bucket, key)

    def keys(self, prefix: str = "") -> list[str]:
        return [found.at.key for found in self.store.listing(self.at(prefix))]

    def faults(self, *faults: Fault) -> None:
        """From now on this goes wrong, and nothing else."""
        self._tell("faults", json.dumps([asdict(fault) for fault in faults]).encode())

    def thaw_after(self, looks: int) -> None:
        """What is asked for in a slow class can be read after so many looks at it; 0: at once."""
        how = {"progression": "manual", "times": looks} if looks else {"progression": "immediate"}
        body = json.dumps({"model_name": "s3::keyrestore", "transition": how}).encode()
        self._tell("moto-api/state-manager/set-transition", body, under="")

    def seen(self) -> list[str]:
        """The operations asked of it since the faults were set."""
        found: list[str] = json.loads(self._tell("seen", None))
        return found

    def _tell(self, what: str, body: bytes | None, under: str = "-/") -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.endpoint}/{under}{what}", body, timeout=30) as answer:
            data: bytes = answer.read()
        return data


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a store that ends with this process."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.s3_server"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
        process.stdin.close()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """One store per test worker."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_store(s3_endpoint: str) -> Iterator[Store]:
    """The way to it: opening one takes as long as a dozen requests."""
    with pytest.MonkeyPatch.context() as environment:
        _forget_aws(environment)
        store = open_store(settings_for(s3_endpoint))
    yield store
    store.client.close()


@pytest.fixture
def s3(s3_endpoint: str, s3_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A store with an empty bucket, and nothing of this machine's AWS tools."""
    _forget_aws(monkeypatch)
    found = S3(s3_endpoint, f"bucket-{os.getpid()}-{next(_numbers)}", s3_store)
    found.faults()
    found.store.client.create_bucket(Bucket=found.bucket)
    yield found
    found.faults()


def _forget_aws(environment: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        environment.delenv(name)
    environment.setenv("AWS_CONFIG_FILE", os.devnull)
    environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("NO_PROXY", "no_proxy"):
        environment.setenv(name, "127.0.0.1")


def settings_for(endpoint: str, **more: Any) -> Settings:
    """Settings of somebody who uses that store."""
    known: dict[str, Any] = {
        "aws_access_key_id": KEY_ID,
        "aws_secret_access_key": SECRET,
        "aws_region": "us-east-1",
        "aws_endpoint_url": endpoint,
    }
    return Settings(**(known | more))
