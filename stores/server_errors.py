"""What a driver's exception says of an object storage: the server's code, whether to try again, a line for the user.

Drivers raise exceptions of their own; those of S3 carry the server's answer, as botocore hands it on, somewhere in the
chain of their causes. A network that fails is told by the names of the exceptions, as no driver is imported here.
"""

from typing import Any

GONE = "NoSuchBucket"
EMPTY = "InvalidRange"  # the answer to a read beyond the end, of nothing too
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")

_TOO_MANY_REQUESTS = 429
_SERVER_FAULTS = 500
_OF_THE_NETWORK = {"ConnectionError", "HTTPClientError", "ClientError", "TimeoutError"}


def says(error: BaseException, *codes: str) -> bool:
    """Tell whether the server answered with one of these codes."""
    return str(_answer(error).get("Error", {}).get("Code", "")) in codes


def is_passing(error: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    status = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status is not None:
        return bool(status >= _SERVER_FAULTS or status == _TOO_MANY_REQUESTS)
    return bool({kind.__name__ for kind in type(error).__mro__} & _OF_THE_NETWORK)


def reason_of(error: BaseException) -> str:
    """Say in one line what went wrong."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    denied = "access denied: " if isinstance(error, PermissionError) else ""
    return f"{denied}{lines[0].rstrip('.')}"


def _answer(error: BaseException | None) -> Any:
    while error is not None:
        if isinstance(answer := getattr(error, "response", None), dict):
            return answer
        error = error.__cause__
    return {}
