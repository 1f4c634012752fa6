"""How the features were made that a run was trained on, so that new ones can be made alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vlp.pipeline.decoding.errors import BadTimeline
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoders import choose_precision
from vlp.pipeline.errors import DeviceUnavailable
from vlp.pipeline.framing import BadFraming, Framing
from vlp.stores.errors import RunDamaged, StoreError
from vlp.stores.features import FeatureStore
from vlp.stores.runs import CONFIG, RunDirectory


@dataclass(frozen=True)
class FeatureKind:
    """How the features were made that a run was trained on.

    Attributes:
        run: the run's folder.
        meaning: all that decides what they mean.
        timeline: which instants of a video are stored.
        framing: which views of a frame.
        precision: of the image tower; "auto" where the run's store is no longer there.
        batch_size: of every batch of frames; None, for the device's own, where the store is no longer there.
    """

    run: Path
    meaning: Mapping[str, Any]
    timeline: Timeline
    framing: Framing
    precision: str = "auto"
    batch_size: int | None = None

    @classmethod
    def of_run(cls, run: RunDirectory) -> "FeatureKind":
        """Read it from a run, and from the store that the run was trained from.

        Raises:
            RunDamaged: if the run does not say what its features mean.
        """
        config = run.config()
        meaning, places = config.get("features"), config.get("places")
        try:
            if not isinstance(meaning, dict):
                raise BadTimeline("")
            kept, framing = Timeline.parse(str(meaning.get("timeline"))), Framing.of_meaning(meaning)
        except (BadTimeline, BadFraming):
            raise RunDamaged(run.path / CONFIG, "it does not say what features it was trained on") from None
        path = places.get("store") if isinstance(places, dict) else None
        try:
            store = FeatureStore.open(Path(str(path)))
        except StoreError:
            return cls(run.path, meaning, kept, framing, str(meaning.get("precision", "auto")))
        return cls(run.path, meaning, kept, framing, store.precision, store.batch_size)

    @property
    def is_exact(self) -> bool:
        """Whether new features equal stored ones to the last bit, on the device that made those."""
        return self.batch_size is not None

    def precision_on(self, device: torch.device) -> str:
        """Choose that of the run's store where the device has it.

        Raises:
            DeviceUnavailable: if it lacks one that the features' meaning names.
        """
        try:
            return choose_precision(self.precision, device)
        except DeviceUnavailable:
            if "precision" in self.meaning:
                raise
            return choose_precision("auto", device)
