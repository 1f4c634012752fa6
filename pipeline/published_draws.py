"""Which training videos other people drew, read from their lists. Imports no torch.

Two formats: a JSON object with ``lists``, dataset to rounds of video ids (Efficient-Prompt's 5-shot C-way draws), and a
text file with a video's id a line, which is one round.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.protocols import ListUnreadable, read_list

_LIMIT_BYTES = 64 << 20


def read_draws(path: Path, manifest: Manifest, videos: Sequence[Video]) -> list[tuple[Video, ...]]:
    """Read published draws.

    Args:
        path: the list.
        manifest: the dataset, whose name chooses among several in one file.
        videos: those to draw from.

    Returns:
        The videos of each round.

    Raises:
        ListUnreadable: if it is no such list, or names a video that is not there to be trained on.
    """
    rounds = _rounds(path, manifest.dataset) if path.suffix == ".json" else [read_list(path)]
    known: Mapping[str, Video] = {_key(video.video_id): video for video in videos}
    absent = [name for names in rounds for name in names if _key(name) not in known]
    if absent:
        raise ListUnreadable(
            path, f"{len(absent):,} of its videos are not among those to train on, such as {absent[0]!r}"
        )
    return [tuple(known[_key(name)] for name in names) for names in rounds]


def _rounds(path: Path, dataset: str) -> list[Sequence[str]]:
    held = _read(path).get("lists")
    if not isinstance(held, dict):
        raise ListUnreadable(path, "it has no object `lists`")
    wanted = _plain(dataset)
    found = [rounds for name, rounds in held.items() if _plain(name) == wanted]
    if not found:
        raise ListUnreadable(path, f"it has no draws of {dataset}, but of {', '.join(map(str, held))}")
    rounds: Any = found[0]
    if not isinstance(rounds, list) or not all(
        isinstance(names, list) and names and all(isinstance(name, str) for name in names) for names in rounds
    ):
        raise ListUnreadable(path, f"the draws of {dataset} are no lists of video ids")
    return rounds


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise ListUnreadable(path, f"it has more than {_LIMIT_BYTES:,} bytes")
        held = json.loads(path.read_bytes())
    except OSError as error:
        raise ListUnreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError):
        raise ListUnreadable(path, "it is no JSON") from None
    if not isinstance(held, dict):
        raise ListUnreadable(path, "it holds no object")
    return held


def _plain(name: str) -> str:
    """HMDB-51 and hmdb51 are one."""
    return "".join(character for character in name.lower() if character.isalnum())


def _key(video_id: str) -> str:
    """Compare ids without the folder, whose spelling differs between releases."""
    return video_id.rpartition("/")[2]
