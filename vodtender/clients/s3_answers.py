"""What S3's errors mean, and nothing else reads them.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as aws

from vodtender.errors import (
    AuthExpired,
    CredentialsMissing,
    NotFound,
    Refused,
    Rejected,
    SettingsError,
    Transient,
    VodtenderError,
)

_CREDENTIALS_HINT = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what the key may do"

_REFUSED_KEYS = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("TokenRefreshRequired", "InvalidClientTokenId", "AuthFailure", "NotSignedUp"),
    }
)
_NO_OBJECT = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "404", "NotFound"})
_BUSY = frozenset(
    {
        *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"),
        *("ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "OperationAborted"),
        *("BandwidthLimitExceeded", "RequestThrottled", "PriorRequestNotComplete"),
    }
)
_WRONG_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)

_MISSING: tuple[type[Exception], ...] = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.UnauthorizedSSOTokenError,
    aws.SSOTokenLoadError,
    aws.NoAuthTokenError,
)
_MACHINE: tuple[type[Exception], ...] = (
    aws.ProfileNotFound,
    aws.ConfigParseError,
    aws.ConfigNotFound,
    aws.InvalidConfigError,
    aws.InvalidRegionError,
    aws.InvalidProxiesConfigError,
)
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aws.SSLError, "the encrypted connection failed; is the server's certificate trusted?"),
    (aws.ProxyConnectionError, "the proxy cannot be reached or refuses"),
    (aws.ConnectTimeoutError, "no connection within the time limit"),
    (aws.ReadTimeoutError, "no answer within the time limit"),
    (aws.EndpointConnectionError, "no connection to the server"),
    (aws.ConnectionClosedError, "the connection broke"),
    (aws.ResponseStreamingError, "the connection broke while the answer came"),
    (aws.IncompleteReadError, "the answer broke off"),
    (aws.HTTPClientError, "the connection broke"),
    (aws.ConnectionError, "the connection broke"),
)


def is_code(error: Exception, *codes: str) -> bool:
    """Whether S3 answered with one of these codes."""
    return isinstance(error, aws.ClientError) and _code(error) in codes


@contextmanager
def answers(what: str) -> Iterator[None]:
    """Foreign errors become ours. `what` names the exchange: "uploading s3://…"."""
    try:
        yield
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise answer_for(error, what) from error


def answer_for(error: Exception, what: str) -> VodtenderError:
    """The meaning of an error of botocore. None of them names a secret in what is kept here."""
    if isinstance(error, aws.ClientError):
        return _of_answer(error, what)
    if isinstance(error, _MISSING):
        return CredentialsMissing(
            f"{what}: there are no usable credentials for S3.",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if isinstance(error, _MACHINE):
        return SettingsError(
            f"{what}: the settings of the AWS tools on this machine cannot be used: {error}",
            hint="check AWS_PROFILE, AWS_REGION and ~/.aws/config",
            code="aws_settings",
        )
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return Transient(
                f"{what}: {words}.",
                hint="check AWS_ENDPOINT_URL, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE",
                code="s3_unreachable",
            )
    return Rejected(f"{what}: {type(error).__name__}: {error}", code="s3_request")


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _of_answer(error: Any, what: str) -> VodtenderError:
    code = _code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    for meaning, codes, statuses in _MEANINGS:
        if code in codes or status in statuses:
            return meaning(what, code)
    said = error.response.get("Error", {}).get("Message", "")
    hint = "set a storage class that this store has" if code == "InvalidStorageClass" else ""
    told = f"{what}: S3 refuses it: {code} {said}".rstrip(". ") + "."
    return Rejected(told, hint=hint, code="s3_refused")


def _clock(what: str, code: str) -> VodtenderError:
    return AuthExpired(
        f"{what}: S3 refuses the request because this machine's clock is wrong ({code}).",
        hint="set the clock: timedatectl set-ntp true",
        code="clock_skew",
    )


def _refused_key(what: str, code: str) -> VodtenderError:
    return AuthExpired(f"{what}: S3 refuses the key ({code}).", hint=_CREDENTIALS_HINT)


def _no_bucket(what: str, _code: str) -> VodtenderError:
    return NotFound(
        f"{what}: there is no such bucket.",
        hint="check its name and AWS_REGION, or make it: aws s3 mb s3://NAME",
        code="no_bucket",
    )


def _no_object(what: str, _code: str) -> VodtenderError:
    return NotFound(f"{what}: there is no such object.", code="no_object")


def _archived(what: str, _code: str) -> VodtenderError:
    return Refused(
        f"{what}: the object lies in an archive class and must be asked for first.",
        code="archived",
    )


def _busy(what: str, code: str) -> VodtenderError:
    return Transient(f"{what}: S3 is busy or out of order ({code}).", code="s3_busy")


def _wrong_region(what: str, code: str) -> VodtenderError:
    return SettingsError(
        f"{what}: the bucket is in another region ({code}).",
        hint="set AWS_REGION to the bucket's",
        code="s3_region",
    )


def _forbidden(what: str, code: str) -> VodtenderError:
    return AuthExpired(
        f"{what}: S3 does not allow it ({code}).", hint=_CREDENTIALS_HINT, code="s3_forbidden"
    )


_MEANINGS: tuple[
    tuple[Callable[[str, str], VodtenderError], frozenset[str], Container[int]], ...
] = (
    (_clock, frozenset({"RequestTimeTooSkewed", "RequestExpired"}), ()),
    (_refused_key, _REFUSED_KEYS, ()),
    (_no_bucket, frozenset({"NoSuchBucket"}), ()),
    (_no_object, _NO_OBJECT, ()),
    (_archived, frozenset({"InvalidObjectState"}), ()),
    (_busy, _BUSY, range(500, 600)),
    (_wrong_region, _WRONG_REGION, (301,)),
    (_forbidden, frozenset(), (401, 403)),
)
"""The first whose code or HTTP status fits counts."""
