"""Train in a process of its own, and let it be killed at a step: `train_driver.py STORE RUN ENCODER METHOD KILL_AT`.

KILL_AT counts events after which the process ends itself by SIGKILL; 0 lets it end. Every step is checkpointed.
"""

import os
import signal
import sys
from pathlib import Path

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import load_encoder
from vlp.pipeline.settings import resolve
from vlp.pipeline.training_runs import config_of, plan_training, train_run
from vlp.stores.features import FeatureStore
from vlp.stores.runs import RunDirectory

OVERRIDES = {
    "ju2022": [
        "method.num_layers=1",
        "method.num_prefix=2",
        "method.num_suffix=2",
        "method.max_frames=4",
        "recipe.num_frames=4",
        "recipe.learning_rate=0.01",
        "recipe.hold_out=0.25",
        "recipe.accumulate=2",
    ],
    "tip_adapter_f": ["recipe.schedule=cosine", "recipe.warmup_epochs=1"],
}


def main() -> None:
    """Train until the end, or until killed."""
    store_folder, run_folder, encoder_folder, method, kill_at = sys.argv[1:]
    store = FeatureStore.open(Path(store_folder))
    encoder = load_encoder(
        EncoderSpec(f"local-dir:{encoder_folder}", "its own"), device="cpu", precision="fp32"
    )
    videos = tuple(
        Video(video_id, f"{video_id}.avi", (video_id.split("/")[0],)) for video_id in sorted(store.videos())
    )
    manifest = Manifest("folder", Path(), videos, tuple(sorted({video.labels[0] for video in videos})))
    overrides = [*OVERRIDES[method], "recipe.batch_size=3", "recipe.num_epochs=3"]
    settings, plan = resolve(method, overrides=overrides), plan_training(manifest, store, seed=5)
    run = RunDirectory.create(Path(run_folder), config_of(plan, settings, store, encoder))
    with run.lock():
        for number, _ in enumerate(train_run(run, plan, settings, store, encoder, checkpoint_seconds=0.0), 1):
            if number == int(kill_at):
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
