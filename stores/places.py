"""Where a store lies: a folder of this machine, or a prefix of a bucket."""

import re
from dataclasses import dataclass
from pathlib import Path

from vlp.stores.place_errors import BadPlace

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]+.*", re.DOTALL)
_LOCAL_URL = "file://"


@dataclass(frozen=True, order=True)
class ObjectPath:
    """A name on object storage, used as a `Path` is; nothing here talks to the server.

    Args:
        url: ``PROTOCOL://BUCKET/PREFIX``, without a slash at its end.

    Example:
        >>> store = ObjectPath("s3://bucket/cache") / "ucf101" / "a.vlp"
        >>> str(store), store.name, str(store.parent)
        ('s3://bucket/cache/ucf101/a.vlp', 'a.vlp', 's3://bucket/cache/ucf101')
    """

    url: str

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath("/".join([self.url, *(part for part in name.split("/") if part not in {"", "."})]))

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part; empty for a bucket itself."""
        return self._inside.rpartition("/")[2]

    @property
    def parent(self) -> "ObjectPath":
        """The prefix above; of a bucket the bucket itself."""
        return ObjectPath(self.url.rpartition("/")[0]) if self._inside else self

    def absolute(self) -> "ObjectPath":
        """The same on every machine."""
        return self

    @property
    def _inside(self) -> str:
        return self.url.partition("://")[2].partition("/")[2]


Place = Path | ObjectPath


def parse_place(text: str) -> Place:
    """Read a place as it is typed: a path, ``file://PATH``, or the URL of a prefix in a bucket.

    Raises:
        BadPlace: for a URL without a bucket, or one chained with ``::``.

    Example:
        >>> parse_place("s3://bucket/cache/")
        ObjectPath(url='s3://bucket/cache')
        >>> parse_place("file:///data/cache").as_posix()
        '/data/cache'
    """
    if "://" not in text:
        return Path(text)
    if text.startswith(_LOCAL_URL):
        return Path(text.removeprefix(_LOCAL_URL))
    if not _URL.fullmatch(text):
        raise BadPlace(text, "it is not PROTOCOL://BUCKET/PREFIX")
    return ObjectPath(text.rstrip("/"))
