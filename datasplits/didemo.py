"""DiDeMo: 10,464 Flickr videos of up to 30 s with sentences about moments of theirs, for paragraph retrieval.

Source: Hendricks et al., ICCV 2017; train_data.json, val_data.json and test_data.json (LisaAnne/LocalizingMoments).
Traps: a file is a list of sentences, not of videos; papers on retrieval join all sentences of a video, in the order of
the file, to the one paragraph it is searched by. A video may be named with two suffixes (``.mov`` and ``.mp4``), or
with a bare dot: the 1,037 names of the test file are the 1,004 videos of the published list. Files on disk may have
another suffix than the lists. Sentences end in line breaks. The moments themselves (``times``, in units of 5 s, a pair
an annotator) are not kept: they carry no class, and no protocol here localises sentences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.cells import member, sentence_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, video_id_of
from vlp.datasplits.official import (
    VideosOnDisk,
    captioned_videos,
    find_file,
    list_lines,
    read_json,
    search_places,
)

SOURCE = "https://github.com/LisaAnne/LocalizingMoments: data/*_data.json and the videos"
LAYOUT = (
    "ROOT/<video>, in any folders and with any suffix; test_data.json and, as far as there are any, train_data.json, "
    "val_data.json and {train,val,test}_list.txt in ROOT or in --annotations"
)
PUBLISHED = {
    "videos": 10464,
    "default train": 8395,
    "default val": 1065,
    "default test": 1004,
}
_FOLDERS = ("annotations", "data", "LocalizingMoments/data")
_ROLES = ("train", "val", "test")


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the sentences; a ``<role>_list.txt`` beside them restricts the videos of its role.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if ``test_data.json`` is not found.
        ManifestUnreadable: if a file is none of its kind.
        SplitLeak: if a video is in two files.
        OutsideRoot: if a name, or a link on disk, leads out of the root.
    """
    places = search_places("didemo", root, annotations, folders=_FOLDERS, layout=LAYOUT)
    names: dict[str, str] = {}  # of each video, the first
    splits: dict[str, dict[tuple[str, str], None]] = {}
    paragraphs: dict[str, list[str]] = {}
    notes: list[str] = []
    for role in _ROLES:
        sentences, role_notes = _sentences(places, role, names)
        notes += role_notes
        for name, found in sentences.items():
            splits.setdefault(name, {})[DEFAULT_SPLIT, role] = None
            paragraphs[name] = [" ".join(found)]
    on_disk = VideosOnDisk(root, ())
    videos = captioned_videos(root, on_disk, splits, paragraphs)
    manifest = Manifest("didemo", root, videos, ())
    unlisted = on_disk.unlisted_notes(video.path for video in videos)
    return replace(manifest, notes=(*count_notes(manifest, PUBLISHED), *notes, *unlisted))


def _sentences(
    places: Sequence[Path], role: str, names: dict[str, str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Map the first name of each video of a role to its sentences, and say what of it is to be noted."""
    data = find_file(places, f"{role}_data.json")
    if data is None and role == "test":
        raise AnnotationsMissing("didemo", places, "test_data.json")
    if data is None:
        return {}, [f"no {role}_data.json was found"]
    spelt: set[str] = set()
    found: dict[str, list[str]] = {}
    for name, sentence in _rows(data):
        spelt.add(name)
        found.setdefault(names.setdefault(video_id_of(name), name), []).append(sentence)
    notes = []
    if len(spelt) > len(found):
        notes.append(f"{data.name}: {len(spelt):,} names are {len(found):,} videos, some with two suffixes")
    listing = find_file(places, f"{role}_list.txt")
    if listing is None:
        return found, notes
    listed = {video_id_of(text): None for _, text in list_lines(listing)}
    kept = {name: sentences for name, sentences in found.items() if video_id_of(name) in listed}
    notes += _list_notes(listing, len(found) - len(kept), len(listed) - len(kept))
    return kept, notes


def _list_notes(listing: Path, num_left_out: int, num_without: int) -> Iterator[str]:
    if num_left_out:
        yield f"videos that {listing.name} lacks, left out: {num_left_out:,}"
    if num_without:
        yield f"videos of {listing.name} without a sentence, left out: {num_without:,}"


def _rows(data: Path) -> Iterator[tuple[str, str]]:
    """Yield (name of the video, sentence)."""
    for position, row in enumerate(read_json(data, list)):
        where = f"entry {position}"
        name = member(data, where, row, "video", str)
        yield name, sentence_of(data, where, row.get("description"))
