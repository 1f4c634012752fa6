"""Where stores lie: ``<cache>/<dataset>/<model>__<pretrained>/<fingerprint12>.vlp``."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vlp.stores import storage
from vlp.stores.errors import FeaturesMissing, StoreAmbiguous, StoreError
from vlp.stores.fingerprint import distinctions
from vlp.stores.places import Place
from vlp.stores.root import Description, read_root

SUFFIX = ".vlp"
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,@-]+")
_LONGEST = 120


@dataclass(frozen=True)
class StoreSummary:
    """A store that was found, by what its root says.

    Attributes:
        path: its folder.
        description: what it says of itself; None when that cannot be read.
        problem: why it cannot; None when it can.
    """

    path: Place
    description: Description | None
    problem: str | None = None

    def __str__(self) -> str:
        if self.description is None:
            return f"{self.path} (unreadable)"
        return f"{self.description.dataset} ({self.description.model}/{self.description.pretrained})"


def safe_name(name: str) -> str:
    """Make any name one component of a path: no separators, no leading dot, at most 120 characters.

    Example:
        >>> safe_name("hf-hub:laion/CLIP-ViT-B-32"), safe_name("../..")
        ('hf-hub-laion-CLIP-ViT-B-32', '--..')
    """
    safe = _UNSAFE.sub("-", name)
    if safe.startswith("."):
        safe = "-" + safe.lstrip("./")
    if len(safe) > _LONGEST:
        safe = f"{safe[: _LONGEST - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return safe or "-"


def store_name(*, dataset: str, model: str, pretrained: str, fingerprint: str) -> str:
    """Say where in a cache the store of these features belongs: ``DATASET/MODEL__PRETRAINED/FINGERPRINT.vlp``.

    Args:
        dataset: its name; like the others it cannot lead out of the cache.
        model: open_clip's name, or ``hf-hub:...``, or a file.
        pretrained: the tag.
        fingerprint: 64 hexadecimal digits.
    """
    encoder = f"{safe_name(model)}__{safe_name(pretrained)}"
    return f"{safe_name(dataset)}/{encoder}/{safe_name(fingerprint[:12])}{SUFFIX}"


def store_path(cache: Place, *, dataset: str, model: str, pretrained: str, fingerprint: str) -> Place:
    """Give the place of a store in a cache; the rest is as `store_name` takes it."""
    names = {"dataset": dataset, "model": model, "pretrained": pretrained}
    return cache / store_name(**names, fingerprint=fingerprint)


def find_stores(
    cache: Place, dataset: str | None = None, *, model: str | None = None, pretrained: str | None = None
) -> list[StoreSummary]:
    """Find the stores under a cache, in order of their paths.

    Args:
        cache: the folder of all stores; it may be absent.
        dataset: only of this dataset.
        model: only by this model.
        pretrained: only with this tag.

    Returns:
        Their roots. One that cannot be read is listed with its problem when nothing in particular is asked.
    """
    found = [_summary(cache / name) for name in _store_names(cache)]
    wanted = {"dataset": dataset, "model": model, "pretrained": pretrained}
    asked = {name: value for name, value in wanted.items() if value is not None}
    return [store for store in found if _fits(store, asked)]


def select_store(
    cache: Place, *, dataset: str, model: str | None = None, pretrained: str | None = None
) -> Place:
    """Find the one store that fits.

    Raises:
        FeaturesMissing: if there is none; it lists what exists.
        StoreAmbiguous: if there are several; it says what tells them apart.
    """
    fitting = find_stores(cache, dataset, model=model, pretrained=pretrained)
    if not fitting:
        found = [str(store) for store in find_stores(cache)]
        raise FeaturesMissing(cache, dataset, model, found, pretrained=pretrained)
    if len(fitting) > 1:
        meanings = [store.description.meaning for store in fitting if store.description]
        raise StoreAmbiguous(cache, [store.path for store in fitting], distinctions(meanings))
    return fitting[0].path


def _store_names(cache: Place) -> Iterator[str]:
    for dataset in _names(cache, ""):
        for encoder in _names(cache, dataset):
            for name in _names(cache, f"{dataset}/{encoder}"):
                store = f"{dataset}/{encoder}/{name}"
                if name.endswith(SUFFIX) and storage.file_size(cache, f"{store}/zarr.json") is not None:
                    yield store


def _names(cache: Place, folder: str) -> list[str]:
    try:
        return storage.list_names(cache, folder)
    except PermissionError:  # of others, such as the lost+found of a disk
        return []


def _summary(path: Place) -> StoreSummary:
    try:
        return StoreSummary(path, read_root(path))
    except StoreError as error:
        return StoreSummary(path, None, str(error))


def _fits(store: StoreSummary, asked: dict[str, str]) -> bool:
    return all(getattr(store.description, name, None) == value for name, value in asked.items())
