"""Something-Something V2: 220,847 videos of 174 actions on things that have no name.

Source: Goyal et al., ICCV 2017, arXiv:1706.04261; labels and videos at Qualcomm, who host the 20BN data.
Traps: items carry a ``template`` such as ``Putting [something] on [something]``, while ``labels.json`` maps the same
words without brackets to an index, which is a string; classes are in the order of these numbers. ``label`` is the
template filled in ("Putting a cup on a table"): it is the video's caption. The test list has ids only, so that papers
report on the validation list. An ``id`` may be a number. Videos lie flat as ``<id>.webm``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlp.datasplits.cells import label_of, sentence_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import ManifestUnreadable, SplitLeak
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, Video
from vlp.datasplits.official import VideosOnDisk, find_lists, read_json

SOURCE = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset: videos and label files"
LAYOUT = (
    "ROOT/<id>.webm, in any folder; something-something-v2-labels.json, -train.json, -validation.json and -test.json,"
    " or labels.json, train.json and so on, in ROOT or as --annotations"
)
PUBLISHED = {
    "videos": 220847,
    "classes": 174,
    "default train": 168913,
    "default val": 24777,
    "default test": 27157,
}
_FOLDERS = ("labels", "annotations", "20bn-something-something-download-package-labels")
_LISTS = {"train": "train", "val": "validation", "test": "test"}  # role to the name of its list
_ID = re.compile(r"[0-9]{1,20}")
_PREFIXES = ("something-something-v2-", "")


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the lists that are there.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if ``labels.json`` is not found.
        ManifestUnreadable: if no list is beside it, or a file is not of its kind; the item is named.
        SplitLeak: if two lists hold one video.
        OutsideRoot: if a link on disk leads out of the root.
    """
    place = find_lists(
        "ssv2",
        root,
        annotations,
        folders=_FOLDERS,
        pattern="*labels.json",
        needs="labels.json and the lists beside it",
        layout=LAYOUT,
    )
    classes = _classes(_list(place, "labels"))
    lists = {role: path for role, name in _LISTS.items() if (path := _list(place, name)).is_file()}
    if not lists:
        raise ManifestUnreadable(
            place, ["labels.json is there, and none of train.json, validation.json, test.json"]
        )
    on_disk = VideosOnDisk(root, ())
    videos = _videos(lists, on_disk, {_words(name): name for name in classes})
    manifest = Manifest("ssv2", root, videos, classes, test_role="val", default_split=DEFAULT_SPLIT)
    absent = [f"no list was found for {role}" for role in _LISTS if role not in lists]
    unlisted = on_disk.unlisted_notes(video.path for video in videos)
    return replace(manifest, notes=(*count_notes(manifest, PUBLISHED), *absent, *unlisted))


def _list(place: Path, name: str) -> Path:
    """Return the file of this name, with or without the dataset's; the latter if neither is there."""
    paths = [place / f"{prefix}{name}.json" for prefix in _PREFIXES]
    return next((path for path in paths if path.is_file()), paths[-1])


def _classes(path: Path) -> tuple[str, ...]:
    """Read ``{"Putting something on something": "107", …}``, in the order of the numbers."""
    numbered: dict[int, str] = {}
    labels = read_json(path, dict)
    for name, number in labels.items():
        if not str(number).isdecimal() or len(str(number)) > len("174"):
            raise ManifestUnreadable(path, [f"{name!r}: {str(number)[:40]!r} is no class number"])
        numbered[int(str(number))] = label_of(path, f"class {number}", name)
    if sorted(numbered) != list(range(len(labels))):
        raise ManifestUnreadable(path, ["the classes are not numbered 0, 1, 2 and so on"])
    return tuple(numbered[number] for number in sorted(numbered))


def _words(template: str) -> str:
    """Take the brackets off: lists have them, and labels.json has not."""
    return " ".join(template.replace("[", "").replace("]", "").split())


def _videos(
    lists: Mapping[str, Path], on_disk: VideosOnDisk, classes: Mapping[str, str]
) -> tuple[Video, ...]:
    videos: dict[str, Video] = {}
    leaks: list[str] = []
    for role, path in lists.items():
        listed = {video.video_id: video for video in _of_list(path, role, on_disk, classes)}
        leaks += [video_id for video_id in listed if video_id in videos]
        videos |= listed
    if leaks:
        raise SplitLeak(DEFAULT_SPLIT, leaks)
    return tuple(videos.values())


def _of_list(path: Path, role: str, on_disk: VideosOnDisk, classes: Mapping[str, str]) -> Iterator[Video]:
    seen: set[str] = set()
    splits = ((DEFAULT_SPLIT, role),)
    for number, item in enumerate(read_json(path, list), 1):
        try:
            video_id, template = _cells(item)
            if video_id in seen:
                raise ValueError(f"video {video_id} is listed twice")
            if template not in classes and (template or role != "test"):
                raise ValueError(f"the template {template!r} is not in labels.json")
        except ValueError as error:
            raise ManifestUnreadable(path, [f"item {number}: {error}"]) from None
        seen.add(video_id)
        labels = (classes[template],) if template else ()
        caption = sentence_of(path, f"item {number}", item.get("label", ""))
        file = on_disk.path_of("", f"{video_id}.webm")
        yield Video(video_id, file, labels=labels, captions=(caption,) if caption else (), splits=splits)


def _cells(item: Any) -> tuple[str, str]:
    """Return the id of an item and its template without brackets, which may be empty."""
    if not isinstance(item, dict):
        raise ValueError("it is no object")
    video_id, template = item.get("id", ""), item.get("template", "")
    if isinstance(video_id, int):
        video_id = str(video_id)
    if not (isinstance(video_id, str) and isinstance(template, str)):
        raise ValueError("id and template must be text")
    if not _ID.fullmatch(video_id):
        raise ValueError(f"{video_id[:40]!r} is no video id")
    return video_id, _words(template)
