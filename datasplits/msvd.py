"""MSVD: 1,970 YouTube clips with some forty sentences each, for retrieval.

Source: Chen and Dolan, ACL 2011, "MSR Video Description Corpus.csv" and YouTubeClips.tar; the division into 1,200 to
train on, 100 to validate and 670 to test is that of Venugopalan et al. (NAACL 2015), as ``{train,val,test}_list.txt``.
Traps: papers on retrieval share the sentences as ``raw-captions.pkl``, a dict of id to lists of words. A pickle can run
anything, so that one which does more than build lists is refused before any of it runs. The CSV has sentences in many
languages, of which only the English ones are read, "clean" and "unverified" alike; the pickle counts where both are
there. A clip is called ``<VideoID>_<Start>_<End>``, and all its sentences are captions of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.cells import sentence_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, Video
from vlp.datasplits.official import (
    VideosOnDisk,
    captioned_videos,
    csv_rows,
    find_file,
    list_lines,
    search_places,
)
from vlp.datasplits.plain_pickle import read_word_lists

SOURCE = (
    "https://www.cs.utexas.edu/~ml/clamp/videoDescription: YouTubeClips.tar; lists and captions of CLIP4Clip"
)
LAYOUT = (
    "ROOT/<id>_<start>_<end>.avi, in any folders; train_list.txt, val_list.txt, test_list.txt and raw-captions.pkl or "
    "'MSR Video Description Corpus.csv' in ROOT or in --annotations"
)
PUBLISHED = {"videos": 1970, "default train": 1200, "default val": 100, "default test": 670}
_FOLDERS = ("annotations", "msvd_data")
_PICKLE = "raw-captions.pkl"
_TABLES = ("MSR Video Description Corpus.csv", "video_corpus.csv")
_ROLES = ("train", "val", "test")


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the lists and the captions.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if a list, or the captions, are not found.
        ManifestUnreadable: if a file is none of its kind, or the pickle does more than build lists of words.
        SplitLeak: if a clip is in two lists.
        OutsideRoot: if an id, or a link on disk, leads out of the root.
    """
    places = search_places("msvd", root, annotations, folders=_FOLDERS, layout=LAYOUT)
    splits: dict[str, dict[tuple[str, str], None]] = {}
    for role in _ROLES:
        for _, clip in list_lines(_needed(places, f"{role}_list.txt")):
            splits.setdefault(f"{clip}.avi", {})[DEFAULT_SPLIT, role] = None
    source = _needed(places, _PICKLE, *_TABLES)
    captions = _pickled(source) if source.name == _PICKLE else _tabled(source)
    on_disk = VideosOnDisk(root, ())
    videos = captioned_videos(root, on_disk, splits, captions)
    manifest = Manifest("msvd", root, videos, ())
    notes = [
        *count_notes(manifest, PUBLISHED),
        f"captions: {source.name}",
        *_silent(videos),
        *on_disk.unlisted_notes(video.path for video in videos),
    ]
    return replace(manifest, notes=tuple(notes))


def _needed(places: Sequence[Path], *names: str) -> Path:
    found = find_file(places, *names)
    if found is None:
        raise AnnotationsMissing("msvd", places, " or ".join(names))
    return found


def _pickled(path: Path) -> dict[str, list[str]]:
    return {
        f"{clip}.avi": [sentence_of(path, repr(clip)[:80], " ".join(words)) for words in sentences]
        for clip, sentences in read_word_lists(path).items()
    }


def _tabled(path: Path) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for line, row in csv_rows(path, ["VideoID", "Start", "End", "Language", "Description"]):
        if row["Language"].strip() == "English":
            sentence = sentence_of(path, f"line {line}", row["Description"])
            clip = "_".join(row[name].strip() for name in ("VideoID", "Start", "End"))
            captions.setdefault(f"{clip}.avi", []).append(sentence)
    return captions


def _silent(videos: Sequence[Video]) -> Iterator[str]:
    silent = [video.video_id for video in videos if not video.captions]
    if silent:
        yield f"clips without a caption: {len(silent):,}, such as {silent[0]}"
