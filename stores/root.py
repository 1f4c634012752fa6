"""What a store says of itself: the attributes of its root group, ``zarr.json``.

Written once, when the store is made. The fingerprint is that of the meaning beside it, and the attributes
carry a checksum: a root that says something else than what was written is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vlp.stores import sealed, storage
from vlp.stores.commits import SCHEMA, now
from vlp.stores.errors import StoreDamaged, StoreMissing, StoreVersion
from vlp.stores.fingerprint import JSON, fingerprint
from vlp.stores.layout import Layout, layout_of
from vlp.stores.places import Place

_LIMIT_BYTES = 16 << 20
_GROUP = {"zarr_format": 3, "node_type": "group"}
_MOST_VIEWS = 1 << 16
_MOST_DIM = 1 << 20


@dataclass(frozen=True)
class Description:
    """What a store holds, and how it came to be.

    Attributes:
        meaning: all that entered the fingerprint.
        dataset, model, pretrained: names, as the user gave them.
        num_views, embed_dim: V and D of every row; 1 and 3, the channels, where pixels are stored.
        batch_size: the one shape to which every batch is padded; kept on resume and by all workers.
        precision: of the encoder when the store was made.
        tool_versions: of the libraries that made it.
        created: when, UTC.

    Raises:
        ValueError: naming the field that is not as it must be.
    """

    meaning: Mapping[str, JSON]
    dataset: str
    model: str
    pretrained: str
    num_views: int
    embed_dim: int
    batch_size: int
    precision: str
    tool_versions: Mapping[str, str]
    created: str

    def __post_init__(self) -> None:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("dataset", "model", "pretrained", "precision", "created"):
            sealed.text(values, name)
        sealed.count(values, "num_views", least=1, most=_MOST_VIEWS)
        sealed.count(values, "embed_dim", least=1, most=_MOST_DIM)
        sealed.count(values, "batch_size", least=1)
        for name in ("meaning", "tool_versions"):
            sealed.mapping({name: dict(values[name])}, name)
        layout_of(self.meaning, self.num_views, self.embed_dim)

    @property
    def layout(self) -> Layout:
        """The arrays of its segments."""
        return layout_of(self.meaning, self.num_views, self.embed_dim)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the meaning, 64 hexadecimal digits."""
        return fingerprint(self.meaning)


def read_root(path: Place) -> Description:
    """Read what a store says of itself.

    Raises:
        StoreMissing: if there is no zarr.json.
        StoreVersion: if another version wrote it.
        StoreDamaged: if it is not what was written.
    """
    try:
        data = storage.read_bytes(path, "zarr.json", limit=_LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreMissing(path) from None
    except OSError as error:
        raise StoreDamaged(path, f"zarr.json is unusable: {error.strerror}") from error
    try:
        return _parse(path, data)
    except (ValueError, TypeError) as error:
        raise StoreDamaged(path, f"zarr.json {error}") from error


def write_root(path: Place, description: Description, *, writer: str) -> None:
    """Write the root of a new store; its presence makes the folder a store.

    Raises:
        StoreFull, StoreUnwritable: from the disk.
    """
    for folder in ("segments", "failures"):
        storage.make_folder(path, folder)
    segments = json.dumps({**_GROUP, "attributes": {}}, indent=2).encode()
    storage.write_file(path, "segments/zarr.json", segments, writer=writer)
    body = {"schema": SCHEMA, "fingerprint": description.fingerprint, **asdict(description)}
    root = {**_GROUP, "attributes": {**body, "crc32c": sealed.checksum(body)}}
    storage.write_file(path, "zarr.json", json.dumps(root, indent=2).encode(), writer=writer)


def describe(
    *,
    meaning: Mapping[str, JSON],
    dataset: str,
    model: str,
    pretrained: str,
    num_views: int,
    embed_dim: int,
    batch_size: int,
    precision: str,
    tool_versions: Mapping[str, str],
) -> Description:
    """Describe a store that is made now."""
    return Description(
        meaning, dataset, model, pretrained, num_views, embed_dim, batch_size, precision, tool_versions, now()
    )


def _parse(path: Place, data: bytes) -> Description:
    root = sealed.parse(data)
    if {name: root.get(name) for name in _GROUP} != _GROUP or {*root} != {*_GROUP, "attributes"}:
        raise ValueError("is no Zarr v3 group")
    attributes: dict[str, Any] = sealed.mapping(root, "attributes")
    schema = sealed.count(attributes, "schema", least=1)
    if schema != SCHEMA:
        raise StoreVersion(path, schema, SCHEMA)
    if attributes.pop("crc32c", None) != sealed.checksum(attributes):
        raise ValueError("does not match its checksum")
    attributes.pop("schema")
    if attributes.pop("fingerprint", None) != fingerprint(attributes.get("meaning")):
        raise ValueError("has another fingerprint than its meaning gives")
    return Description(**attributes)
