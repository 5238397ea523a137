"""What S3 servers answer, as errors that say what is wrong and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from atdata.errors import AtdataError, ShardExists, ShardNotFound, ShardPermissionError, ShardUnreadable
from atdata.sources.download import Passing

from .access import S3Access


class S3Denied(ShardPermissionError):
    """The server refuses the request: wrong keys, an expired token, a wrong clock, or no permission."""


class NotPermitted(S3Denied):
    """The credentials are good, and do not permit what was asked."""


class NoSuchBucket(ShardNotFound):
    """The server has no such bucket."""


class S3Unreachable(ShardUnreadable, ConnectionError):
    """There is no server, or it does not answer."""


class Unsupported(ShardUnreadable, NotImplementedError):
    """The server does not know what was asked of it."""


# Faults of one request among many
_PASSING: Final = {
    *("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"),
    *("RequestTimeoutException", "ThrottlingException", "TooManyRequests", "ConditionalRequestConflict"),
    # the bytes were changed on their way
    *("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"),
}
# What a request looks like that was changed on its way, where the same credentials have been good before
_GARBLED: Final = {
    *("SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthorizationHeaderMalformed", "RequestTimeTooSkewed"),
    "AccessDenied",  # the name of the header with the signature
    *("BadRequest", "InvalidRequest", "InvalidURI", "MalformedXML", "MissingContentLength", "400", "403"),
}
_DENIED: Final = {
    "InvalidAccessKeyId": "the server does not know the access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the session token has expired; get new temporary credentials",
    "InvalidToken": "the session token is not valid for these keys; check AWS_SESSION_TOKEN",
    "TokenRefreshRequired": "the session token must be refreshed; get new temporary credentials",
    "AccessDenied": "these credentials do not permit it; ask for the permission, or use others",
    "AllAccessDisabled": "the bucket's owner has disabled all access",
    "AccountProblem": "there is a problem with the account that only its owner can solve",
}
_KEYS: Final = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_ELSEWHERE: Final = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_ALIASES: Final = {"ExpiredTokenException": "ExpiredToken", "Forbidden": "AccessDenied", "403": "AccessDenied"}


def fault_of(error: Exception, access: S3Access, bucket: str, key: str = "", *, doing: str = "read") -> Exception:
    """The error for what boto3 raised; in a ``Passing`` if the fault can pass.

    Args:
        error: of botocore, or of the socket below.
        access: how the server was asked.
        bucket: the bucket.
        key: the object's key, if it was about one.
        doing: what was tried, in the past tense: ``read``, ``written``.
    """
    if isinstance(error, AtdataError | Passing):  # boto3 may be what is missing
        return error
    from botocore import exceptions as boto

    name = f"s3://{bucket}/{key}" if key else f"s3://{bucket}"
    what = f"{name} at {access.place} cannot be {doing}"
    if isinstance(error, boto.ClientError):
        fault = _answer(error.response, what, name, bucket, access)
        garbled = access.was_good() and error.response.get("Error", {}).get("Code") in _GARBLED
        if not garbled or isinstance(fault, Passing):
            return fault
        # what is forbidden indeed is told soon
        return Passing(fault, 0.0 if isinstance(fault, NotPermitted) else None)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return S3Denied(f"{what}: boto3 finds no complete credentials; set {_KEYS}")
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.SSOError):
        return S3Denied(f"{what}: boto3 cannot get credentials: {type(error).__name__}; sign in again")
    if isinstance(error, boto.ParamValidationError):
        return ValueError(f"{what}: {error}")
    if isinstance(error, boto.SSLError):
        return S3Unreachable(f"{what}: no secure connection; is it an https server with a certificate you trust?")
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError):
        return Passing(S3Unreachable(f"{what}: nothing answers there; check the endpoint, and that it runs"))
    if isinstance(error, boto.ReadTimeoutError | TimeoutError):
        return Passing(S3Unreachable(f"{what}: no answer within {access.timeout:g} seconds"))
    # connections that broke; answers that boto3 cannot make sense of raise about anything
    return Passing(S3Unreachable(f"{what}: {type(error).__name__}"))


def _answer(response: Any, what: str, name: str, bucket: str, access: S3Access) -> AtdataError | Passing:
    code = str(response.get("Error", {}).get("Code", ""))
    code = _ALIASES.get(code, code)
    about = response.get("ResponseMetadata", {})
    status, headers = int(about.get("HTTPStatusCode", 0)), about.get("HTTPHeaders", {})
    if code == "NoSuchBucket":
        return NoSuchBucket(f"{access.place} has no bucket {bucket!r}; create it, or check its name and the endpoint")
    if code in ("NoSuchKey", "NoSuchUpload") or status == 404:
        return ShardNotFound(f"no shard at {name} ({access.place})")
    if code == "RequestTimeTooSkewed":
        return S3Denied(f"{what}: this machine's clock {_skew(headers)}; set it right, for example with NTP")
    if code == "PreconditionFailed" or status == 412:
        return ShardExists(f"{name} exists, or changed meanwhile")
    if (
        code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
        or status == 301
    ):
        region = headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region") or "another"
        return S3Denied(f"{what}: the bucket is in the region {region}; set region or AWS_DEFAULT_REGION")
    if code == "AccessDenied" and access.access_key is None and not _signed(access):
        return NotPermitted(
            f"{what}: no credentials were found, and the public may not; set AWS_ACCESS_KEY_ID and its secret"
        )
    if code in _DENIED:
        kind = NotPermitted if code == "AccessDenied" else S3Denied
        return kind(f"{what}: {_DENIED[code]}")
    cause = f"the server answers {status or ''} {code}".rstrip()
    if code == "NotImplemented" or status == 501:
        return Unsupported(f"{what}: {cause}")
    if code in _PASSING or status >= 500 or status in (408, 429):
        after = str(headers.get("retry-after", ""))
        return Passing(ShardUnreadable(f"{what}: {cause}"), float(after) if after.isdecimal() else None)
    if status in (401, 403):
        return S3Denied(f"{what}: {cause}")
    return ShardUnreadable(f"{what}: {cause}: {response.get('Error', {}).get('Message', '')!s:.200}")


def _signed(access: S3Access) -> bool:
    from botocore import UNSIGNED

    return access.client().meta.config.signature_version is not UNSIGNED


def _skew(headers: Any) -> str:
    """How wrong our clock is, as far as the server's answer tells."""
    try:
        minutes = (datetime.now(UTC) - parsedate_to_datetime(headers["date"])).total_seconds() / 60
    except (KeyError, TypeError, ValueError):
        minutes = 0.0
    if abs(minutes) < 1:
        return "differs too much from the server's"
    return f"is {abs(minutes):,.0f} minutes {'ahead of' if minutes > 0 else 'behind'} the server's"
