"""Some of the videos that a run was tested on, with what it took them for."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import DatasetError
from vlp.datasplits.manifest import Manifest
from vlp.pipeline.decoding.results import DecodeRequest
from vlp.pipeline.report.figures import Sample, choose_samples, entries
from vlp.pipeline.report.reading import RunFacts, looked_up
from vlp.pipeline.report.thumbnails import Strip, film_strips


@dataclass(frozen=True)
class SampleStrip:
    """A scored video as the page shows it.

    Attributes:
        sample: the video and the prediction.
        strip: its frames, or why there are none.
    """

    sample: Sample
    strip: Strip

    @property
    def uri(self) -> str | None:
        """The picture as a data URI; None where there is none."""
        jpeg = self.strip.jpeg
        return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


@dataclass(frozen=True)
class Samples:
    """Strips of one result, or why there are none."""

    source: str = ""
    strips: tuple[SampleStrip, ...] = ()
    note: str = ""


def sample_strips(facts: RunFacts, num_samples: int, *, root: Path | None = None) -> Samples:
    """Show some videos of the run's own dataset, from the first result that lists them.

    Args:
        facts: the run.
        num_samples: how many at most.
        root: folder of the videos, if they are no longer where they were.

    Returns:
        Strips; nothing at all if no result lists its videos.
    """
    found = _listed(facts)
    if found is None or num_samples < 1:
        return Samples()
    name, split = found
    samples = choose_samples(split, num_samples)
    try:
        manifest = _manifest(facts, root)
    except (DatasetError, OSError) as error:
        return Samples(name, note=f"The videos cannot be shown: {error}")
    return Samples(name, _strips(samples, manifest))


def _listed(facts: RunFacts) -> tuple[str, Mapping[str, Any]] | None:
    """Find a split whose videos were saved with it."""
    for name, result in facts.results.items():
        if result.get("dataset") == facts.config.get("dataset"):
            for split in entries(result.get("splits")):
                if entries(split.get("videos")):
                    return name, split
    return None


def _manifest(facts: RunFacts, root: Path | None) -> Manifest:
    places = {name: looked_up(facts.config, "places", name) for name in ("root", "annotations", "manifest")}
    kept = {name: Path(place) for name, place in places.items() if isinstance(place, str)}
    options = facts.config.get("dataset_options")
    return load_dataset(
        str(facts.config.get("dataset")),
        root=root or kept.get("root"),
        annotations=kept.get("annotations"),
        manifest=kept.get("manifest"),
        options=[f"{name}={value}" for name, value in options.items()] if isinstance(options, dict) else (),
    )


def _strips(samples: Sequence[Sample], manifest: Manifest) -> tuple[SampleStrip, ...]:
    videos = {video.video_id: video for video in manifest.videos}
    requests: dict[str, DecodeRequest] = {}
    notes: dict[str, str] = {}
    for sample in samples:
        video = videos.get(sample.video_id)
        try:
            if video is None:
                notes[sample.video_id] = "the dataset no longer lists it"
            else:
                requests[sample.video_id] = DecodeRequest(sample.video_id, manifest.absolute(video))
        except DatasetError as error:
            notes[sample.video_id] = str(error)
    strips = film_strips(list(requests.values()))
    return tuple(
        SampleStrip(sample, strips.get(sample.video_id) or Strip(None, note=notes[sample.video_id]))
        for sample in samples
    )
