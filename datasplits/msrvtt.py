"""MSR-VTT: 10,000 clips of YouTube with 20 captions each, for retrieval.

Source: Xu et al., CVPR 2016: MSRVTT_data.json, or MSR_VTT.json, which holds the same captions. The usual test set
"1k-A" of 1,000 clip and sentence pairs is MSRVTT_JSFUSION_test.csv (Yu et al., ECCV 2018); all the other 9,000 clips,
MSRVTT_train.9k.csv, are trained on ("Training-9K", Gabeur et al., ECCV 2020).
Traps: the test CSV comes with commas and with semicolons; a test clip of 1k-A has the one sentence of that CSV, and 20
in the full split, so that ``protocol`` decides which of the two splits is read; four sentences of 1k-A belong to two
clips each, only one of which they can rank first: a note counts them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlp.datasplits.cells import member, sentence_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable
from vlp.datasplits.manifest import Manifest, Video
from vlp.datasplits.official import (
    VideosOnDisk,
    captioned_videos,
    csv_rows,
    find_file,
    read_json,
    search_places,
)
from vlp.datasplits.options import Option

SOURCE = "https://www.robots.ox.ac.uk/~maxbain/frozen-in-time/data/MSRVTT.zip: videos and lists"
LAYOUT = (
    "ROOT/video<number>.mp4, in any folders; MSRVTT_JSFUSION_test.csv, MSRVTT_train.9k.csv and MSRVTT_data.json (or "
    "MSR_VTT.json) in ROOT or in --annotations"
)
PUBLISHED = {
    "videos": 10000,
    "1k-A train": 9000,
    "1k-A train captions": 180000,
    "1k-A test": 1000,
    "1k-A test captions": 1000,
}
_PUBLISHED_FULL = {
    "videos": 10000,
    **{
        f"full {role}{what}": count * times
        for role, count in (("train", 6513), ("val", 497), ("test", 2990))
        for what, times in (("", 1), (" captions", 20))
    },
}
OPTIONS = {
    "protocol": Option(
        "1k-A: 9,000 videos to train on, 1,000 with one sentence each; full: 6,513 / 497 / 2,990 with 20 sentences",
        "1k-A",
        ("1k-A", "full"),
    )
}
_FOLDERS = (
    "annotations",
    "annotation",
    "msrvtt_data",
    "structured-symlinks",
    "high-quality/structured-symlinks",
)
_DATA = "MSRVTT_data.json"
_TEST = "MSRVTT_JSFUSION_test.csv"
_TRAIN = "MSRVTT_train.9k.csv"
_ROLES = {"train": "train", "validate": "val", "test": "test"}

_Captions = dict[str, list[str]]
_Splits = dict[str, dict[tuple[str, str], None]]


def load(root: Path, annotations: Path | None = None, *, protocol: str = "1k-A") -> Manifest:
    """Read the lists of one split.

    Args:
        root: folder of the videos.
        annotations: folder of the lists, where they are not below the root.
        protocol: "1k-A" or "full"; it names the split.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if a list of the split is not found.
        ManifestUnreadable: if one is none of its kind.
        SplitLeak: if a video is both trained on and tested on.
        OutsideRoot: if an id, or a link on disk, leads out of the root.
    """
    places = search_places("msrvtt", root, annotations, folders=_FOLDERS, layout=LAYOUT)
    if protocol == "full":
        data = _needed(places, _DATA)
        splits, captions = _full(data), _captions(data)
        notes: list[str] = []
    else:
        splits, captions, notes = _1k_a(places)
    on_disk = VideosOnDisk(root, ())
    videos = captioned_videos(root, on_disk, splits, captions)
    manifest = Manifest("msrvtt", root, videos, (), default_split=protocol)
    published = _PUBLISHED_FULL if protocol == "full" else PUBLISHED
    unlisted = on_disk.unlisted_notes(video.path for video in videos)
    return replace(manifest, notes=(*count_notes(manifest, published), *notes, *_repeats(videos), *unlisted))


def _needed(places: Sequence[Path], name: str) -> Path:
    found = find_file(places, name)
    if found is None:
        raise AnnotationsMissing("msrvtt", places, name)
    return found


def _full(data: Path) -> _Splits:
    splits: _Splits = {}
    for position, row in enumerate(member(data, "top", read_json(data, dict), "videos", list)):
        where = f"videos, entry {position}"
        use = member(data, where, row, "split", str)
        if use not in _ROLES:
            raise ManifestUnreadable(data, [f"{where}: the split {use!r:.80} is none of {', '.join(_ROLES)}"])
        splits.setdefault(_file(member(data, where, row, "video_id", str)), {})["full", _ROLES[use]] = None
    return splits


def _1k_a(places: Sequence[Path]) -> tuple[_Splits, _Captions, list[str]]:
    """Read both CSV files, and all captions of the videos to train on where they are there."""
    train, test = _needed(places, _TRAIN), _needed(places, _TEST)
    data = find_file(places, _DATA, "MSR_VTT.json")
    captions = {} if data is None else _captions(data)
    notes = (
        [] if data else [f"neither {_DATA} nor MSR_VTT.json was found: videos to train on have no captions"]
    )
    splits: _Splits = {}
    for _, row in csv_rows(train, ["video_id"]):
        splits.setdefault(_file(row["video_id"]), {})["1k-A", "train"] = None
    tested: _Captions = {}
    for line, row in csv_rows(test, ["video_id", "sentence"], delimiters=",;"):
        name = _file(row["video_id"])
        splits.setdefault(name, {})["1k-A", "test"] = None
        tested.setdefault(name, []).append(sentence_of(test, f"line {line}", row["sentence"]))
    return splits, captions | tested, notes


def _captions(data: Path) -> _Captions:
    """Read ``sentences`` (MSRVTT_data.json) or ``annotations`` (MSR_VTT.json), in file order."""
    held: dict[str, Any] = read_json(data, dict)
    rows, key = ("sentences", "video_id") if "sentences" in held else ("annotations", "image_id")
    captions: _Captions = {}
    for position, row in enumerate(member(data, "top", held, rows, list)):
        where = f"{rows}, entry {position}"
        name = _file(member(data, where, row, key, str))
        captions.setdefault(name, []).append(sentence_of(data, where, row.get("caption")))
    return captions


def _file(video_id: str) -> str:
    return f"{video_id.strip()}.mp4"


def _repeats(videos: Sequence[Video]) -> Iterator[str]:
    """Say how many sentences tested as one pair each belong to several videos."""
    pairs = [
        video.captions[0] for video in videos if len(video.captions) == 1 and ("1k-A", "test") in video.splits
    ]
    repeated = [sentence for sentence, count in Counter(pairs).items() if count > 1]
    if repeated:
        yield f"sentences of several test videos: {len(repeated)}, such as {repeated[0]!r}"
