"""LSMDC: 118,081 clips of 202 films with a sentence each, for retrieval.

Source: Rohrbach et al., IJCV 2017; the lists LSMDC16_annos_training.csv, LSMDC16_annos_val.csv and
LSMDC16_challenge_1000_publictect.csv (spelt so). Lists and clips are given to those who sign for them.
Traps: the lists are separated by tabs, have no header and do not quote: a quotation mark is a character like any other;
a clip stands on several lines when it has several sentences; names of clips hold dots, and their files lie in a folder
a film. Two splits share the 1,000 test clips: "default" trains on the training list, and "ju2022" on the 7,408
validation clips, as Ju et al. (ECCV 2022) say they do; this one counts where no split is named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.cells import sentence_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest
from vlp.datasplits.official import (
    VideosOnDisk,
    captioned_videos,
    find_file,
    list_lines,
    search_places,
)

SOURCE = "https://sites.google.com/site/describingmovies/download: clips and lists of LSMDC 2016, on request"
LAYOUT = (
    "ROOT/<film>/<clip>.avi or all clips in ROOT; LSMDC16_annos_val.csv, LSMDC16_challenge_1000_publictect.csv and, "
    "for split default, LSMDC16_annos_training.csv in ROOT or in --annotations"
)
PUBLISHED = {
    "default train captions": 101079,
    "default val": 7408,
    "default test": 1000,
    "ju2022 train": 7408,
    "ju2022 test": 1000,
}
_JU2022 = "ju2022"
_FOLDERS = ("annotations", "task1", "task1/csv", "lsmdc_data")
_NUM_TIMES = 4  # start and end, of the sentence and of the clip
_LISTS = {
    "train": ("LSMDC16_annos_training.csv",),
    "val": ("LSMDC16_annos_val.csv",),
    "test": ("LSMDC16_challenge_1000_publictect.csv", "LSMDC16_challenge_1000_publictest.csv"),
}
_SPLITS = {
    "train": ((DEFAULT_SPLIT, "train"),),
    "val": ((DEFAULT_SPLIT, "val"), (_JU2022, "train")),
    "test": ((DEFAULT_SPLIT, "test"), (_JU2022, "test")),
}


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the lists.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if the list of validation or of test clips is not found.
        ManifestUnreadable: if a list has a line that is none of its kind.
        SplitLeak: if a clip is in two lists.
        OutsideRoot: if a clip's name, or a link on disk, leads out of the root.
    """
    places = search_places("lsmdc", root, annotations, folders=_FOLDERS, layout=LAYOUT)
    splits: dict[str, dict[tuple[str, str], None]] = {}
    captions: dict[str, list[str]] = {}
    notes = []
    for part in _LISTS:
        listing = _list(places, part)
        if listing is None:
            notes.append(f"no {_LISTS[part][0]} was found: split {DEFAULT_SPLIT} has nothing to train on")
            continue
        for clip, sentence in _rows(listing):
            splits.setdefault(clip, {}).update(dict.fromkeys(_SPLITS[part]))
            captions.setdefault(clip, []).append(sentence)
    on_disk = VideosOnDisk(root, ())
    videos = captioned_videos(root, on_disk, splits, captions)
    manifest = Manifest("lsmdc", root, videos, (), default_split=_JU2022)
    unlisted = on_disk.unlisted_notes(video.path for video in videos)
    return replace(manifest, notes=(*count_notes(manifest, PUBLISHED), *notes, *unlisted))


def _list(places: Sequence[Path], part: str) -> Path | None:
    found = find_file(places, *_LISTS[part])
    if found is None and part != "train":
        raise AnnotationsMissing("lsmdc", places, _LISTS[part][0])
    return found


def _rows(listing: Path) -> Iterator[tuple[str, str]]:
    """Yield (path of the clip, sentence); a sentence may be empty, and hold tabs."""
    for line, text in list_lines(listing):
        clip, *rest = text.split("\t")
        if len(rest) < _NUM_TIMES:
            problem = f"line {line}: {text!r:.80} is not a clip, four times and a sentence"
            raise ManifestUnreadable(listing, [problem])
        film, _, _ = clip.strip().rpartition("_")
        folder = f"{film}/" if film else ""
        yield f"{folder}{clip.strip()}.avi", sentence_of(listing, f"line {line}", " ".join(rest[_NUM_TIMES:]))
