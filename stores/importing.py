"""Features made elsewhere, a ``.npy`` a video, become a store.

The folder is untrusted: `npy_files.py` says what is read and what refused. What nobody states is recorded as
unknown, and the meaning says that the features were imported, so that no store of this kind has the fingerprint
of one that was extracted here.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import local_disk, storage
from vlp.stores.commits import FailedVideo
from vlp.stores.errors import NonFiniteFeatures, NothingToImport, StoreImported
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.fingerprint import JSON, fingerprint
from vlp.stores.locate import store_path
from vlp.stores.npy_files import HEAD_BYTES, NpyRefused, decode_npy, read_header
from vlp.stores.places import Place

UNKNOWN = "unknown"
_LIMIT_BYTES = 1 << 30
_SUFFIX = ".npy"
_Shape = tuple[int, int]


@dataclass(frozen=True)
class Statement:
    """What the user says of features made elsewhere.

    Args:
        dataset: whose videos.
        model: which made them.
        pretrained: its weights; `UNKNOWN` if not stated.
        timeline: ``fps:K`` (row i is shown at i/K s), ``native``, ``frames:N``, or `UNKNOWN`.
        rate_fps: K of ``fps:K``; None for the others.
    """

    dataset: str
    model: str
    pretrained: str = UNKNOWN
    timeline: str = UNKNOWN
    rate_fps: float | None = None

    def meaning(self, num_views: int, embed_dim: int) -> dict[str, JSON]:
        """Write it as the meaning of a store."""
        return {
            "imported": {"model": self.model, "pretrained": self.pretrained},
            "weights": UNKNOWN,
            "activation": UNKNOWN,
            "embed_dim": embed_dim,
            "preprocess": UNKNOWN,
            "views": [UNKNOWN] * num_views,
            "timeline": self.timeline,
            "level": "embedding",
        }


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        store: the store's folder.
        fingerprint: of its meaning.
        num_files: ``.npy`` files in the folder.
        num_imported: those that are in the store since this call.
        num_skipped: those that were there before.
        num_rows: rows that came in.
        refused: file (its name escaped where it is no plain text) to what is wrong with it.
    """

    store: Place
    fingerprint: str
    num_files: int
    num_imported: int
    num_skipped: int
    num_rows: int
    refused: Mapping[str, str]


def require_extracted(store: FeatureStore) -> None:
    """Make sure that a store's features were extracted here, so that more of them can be.

    Raises:
        StoreImported: if they were made elsewhere.
    """
    if "imported" in store.meaning:
        raise StoreImported(store.path)


def import_features(
    folder: Path,
    said: Statement,
    *,
    cache: Place,
    tool_versions: Mapping[str, str],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Put every file that can be taken into the store of this statement; the video's id is the path without ``.npy``.

    Files are (n, D) or (n, V, D) floats and become float16. The width of most of them is the store's; a file of
    another one is refused. A video that is in the store already is passed over.

    Args:
        folder: where the files lie, in any depth.
        said: what they are.
        cache: folder of all stores.
        tool_versions: recorded in a new store.
        on_progress: called with files done and their number.

    Raises:
        NothingToImport: if no file can be taken; nothing is written then.
        StoreMismatch, StoreDamaged, PartLocked, StoreFull, StoreUnwritable: as `FeatureStore`.
    """
    names = local_disk.list_files(folder, _SUFFIX)
    shapes, refused = _shapes(folder, names)
    if not shapes:
        raise NothingToImport(folder, _told(refused), is_folder=folder.is_dir())
    store = _open_store(said, Counter(shapes.values()).most_common(1)[0][0], cache, tool_versions)
    present = {*store.videos()}
    waiting = [name for name in names if _video_id(name) not in present]
    num_rows = 0
    with store.writer(device=UNKNOWN, precision=UNKNOWN) as writer:
        for done, name in enumerate(waiting, start=1):
            try:
                video = _video(folder, name, store, said.rate_fps, refused.get(name))
                writer.add(video)
                num_rows += len(video.features)
            except (NpyRefused, NonFiniteFeatures) as error:
                refused[name] = (
                    error if isinstance(error, NpyRefused) else NpyRefused("non-finite", str(error))
                )
            on_progress(done, len(waiting))
        for failed in _failures(store, waiting, refused):
            writer.fail(failed)
    problems = _told({name: refused[name] for name in waiting if name in refused})
    return ImportReport(
        store=store.path,
        fingerprint=store.fingerprint,
        num_files=len(names),
        num_imported=len(waiting) - len(problems),
        num_skipped=len(names) - len(waiting),
        num_rows=num_rows,
        refused=problems,
    )


def _told(refused: Mapping[str, NpyRefused]) -> dict[str, str]:
    """Say what is wrong by file; names that no terminal can show are escaped."""
    return {
        name if storage.is_nameable(name) else ascii(name)[1:-1]: str(error)
        for name, error in refused.items()
    }


def _video_id(name: str) -> str:
    return name.removesuffix(_SUFFIX)


def _shapes(folder: Path, names: Sequence[str]) -> tuple[dict[str, _Shape], dict[str, NpyRefused]]:
    """Look at the beginning of each file: (V, D), or why it is not taken."""
    shapes: dict[str, _Shape] = {}
    refused: dict[str, NpyRefused] = {}
    for name in names:
        try:
            shapes[name] = _shape(folder, name)
        except NpyRefused as error:
            refused[name] = error
    return shapes, refused


def _shape(folder: Path, name: str) -> _Shape:
    if not storage.is_nameable(name):  # bytes that are no UTF-8 too
        raise NpyRefused("name", "its name cannot be a video's id")
    try:
        head, num_bytes = local_disk.read_head(folder, name, num_bytes=HEAD_BYTES)
    except OSError as error:
        raise NpyRefused("unreadable", f"it cannot be read: {error.strerror}") from None
    if num_bytes > _LIMIT_BYTES:
        raise NpyRefused("too-large", f"{num_bytes} bytes, at most {_LIMIT_BYTES} are read")
    return _views_and_dim(read_header(head, num_bytes).shape)


def _views_and_dim(shape: tuple[int, ...]) -> _Shape:
    if len(shape) not in {2, 3} or 0 in shape:
        raise NpyRefused("shape", f"its shape is {shape}, not (rows, D) or (rows, views, D)")
    return (1, shape[1]) if len(shape) == 2 else (shape[1], shape[2])


def _open_store(
    said: Statement, shape: _Shape, cache: Place, tool_versions: Mapping[str, str]
) -> FeatureStore:
    num_views, embed_dim = shape
    meaning = said.meaning(num_views, embed_dim)
    names = {"dataset": said.dataset, "model": said.model, "pretrained": said.pretrained}
    return FeatureStore.open_or_create(
        store_path(cache, **names, fingerprint=fingerprint(meaning)),
        meaning=meaning,
        **names,
        num_views=num_views,
        embed_dim=embed_dim,
        batch_size=1,
        precision=UNKNOWN,
        tool_versions=tool_versions,
    )


def _video(
    folder: Path, name: str, store: FeatureStore, rate_fps: float | None, known: NpyRefused | None
) -> ExtractedVideo:
    if known is not None:
        raise known
    try:
        data = storage.read_bytes(folder, name, limit=_LIMIT_BYTES)
    except OSError as error:
        raise NpyRefused("unreadable", f"it cannot be read: {error.strerror}") from None
    features = _features(decode_npy(data), (store.num_views, store.embed_dim))
    rows = np.arange(len(features))
    return ExtractedVideo(
        video_id=_video_id(name),
        features=features,
        pts_seconds=rows / (rate_fps or 1.0),
        frame_index=rows.astype(np.int32),
        num_expected=len(rows),
        num_decoded=len(rows),
        native_fps=0.0,
        duration_seconds=len(rows) / rate_fps if rate_fps else 0.0,
        status="ok",
        reason=None,
        decoder="imported",
        source_sha256=hashlib.sha256(data).hexdigest(),
    )


def _features(values: NDArray[Any], views_and_dim: _Shape) -> NDArray[np.float16]:
    """Make (n, V, D) float16 of a file's array."""
    found = _views_and_dim(values.shape)
    if found != views_and_dim:
        raise NpyRefused("width", f"its (views, D) is {found}, the other files' is {views_and_dim}")
    rows = values.reshape(-1, *found)
    with np.errstate(over="ignore"):
        features: NDArray[np.float16] = rows.astype("<f2")
    num_beyond = int((np.isinf(features) & np.isfinite(rows)).sum())
    if num_beyond:
        raise NpyRefused("range", f"{num_beyond} values lie beyond float16, whose largest is 65504")
    return features


def _failures(
    store: FeatureStore, names: Sequence[str], refused: Mapping[str, NpyRefused]
) -> Iterator[FailedVideo]:
    """Give the refused files that have an id, as failures of the store."""
    before = store.failures()
    for name in names:
        if name in refused and refused[name].reason != "name":
            error, video_id = refused[name], _video_id(name)
            attempts = before[video_id].attempts if video_id in before else 0
            yield FailedVideo(video_id, error.reason, str(error), attempts + 1)
