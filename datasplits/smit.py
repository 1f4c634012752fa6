"""S-MiT (Spoken Moments in Time): some 500,000 videos of three seconds, each with a spoken description in writing.

Source: Monfort et al., CVPR 2021. The lists are handed out on request, in forms of their own.
Traps: this is a manifest by another name. A file a role, called for it (``train``, ``val`` or ``test``, also behind
``smit_`` or ``S-MiT_``), whose columns or keys are ``video`` and ``caption``: CSV, a JSON list, or JSON lines, read by
`manifest_file`. Published sizes are round numbers ("more than 500k", "10k"), so that nothing is compared with them.
Where no test list is there, papers report on the validation videos.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.errors import AnnotationsMissing
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest
from vlp.datasplits.manifest_file import read_manifest_file
from vlp.datasplits.official import VideosOnDisk, captioned_videos, find_file, search_places

SOURCE = "http://moments.csail.mit.edu/spoken.html: videos and descriptions, on request"
LAYOUT = (
    "ROOT/<video> as the lists name it, or in any folders; {train,val,test}.csv, .json or .jsonl with video and "
    "caption, also called smit_train.csv or S-MiT_train.csv, in ROOT or in --annotations"
)
PUBLISHED: dict[str, int] = {}
_FOLDERS = ("annotations", "smit", "S-MiT")
_ALIASES = {"video": "path"}
_ROLES = {"train": ("train", "training"), "val": ("val", "validation"), "test": ("test",)}
_PREFIXES = ("smit_", "S-MiT_", "")
_SUFFIXES = (".csv", ".json", ".jsonl")


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the list of each role that has one.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if no role has a list.
        ManifestUnreadable: naming the wrong rows of a list.
        SplitLeak: if a video is in two lists.
        OutsideRoot: if a link on disk leads out of the root.
    """
    places = search_places("smit", root, annotations, folders=_FOLDERS, layout=LAYOUT)
    found = {role: path for role in _ROLES if (path := _list(places, role))}
    if not found:
        raise AnnotationsMissing("smit", places, "train, val or test lists (.csv, .json or .jsonl)")
    splits: dict[str, dict[tuple[str, str], None]] = {}
    captions: dict[str, list[str]] = {}
    notes = [f"no list of role {role} was found" for role in _ROLES if role not in found]
    for role, path in found.items():
        listed = read_manifest_file(path, dataset="smit", root=root, aliases=_ALIASES)
        notes += listed.notes
        for video in listed.videos:
            splits.setdefault(video.path, {})[DEFAULT_SPLIT, role] = None
            captions.setdefault(video.path, []).extend(video.captions)
    on_disk = VideosOnDisk(root, ())
    videos = captioned_videos(root, on_disk, splits, captions)
    test_role = "test" if "test" in found else "val"
    manifest = Manifest("smit", root, videos, (), test_role=test_role)
    return replace(manifest, notes=(*notes, *on_disk.unlisted_notes(video.path for video in videos)))


def _list(places: Sequence[Path], role: str) -> Path | None:
    names = (
        f"{prefix}{name}{suffix}" for prefix in _PREFIXES for name in _ROLES[role] for suffix in _SUFFIXES
    )
    return find_file(places, *names)
