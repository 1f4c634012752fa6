"""Test a trained run: on its own classes, or on classes that it was not trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlp.cli.eval_options import TestOptions, tell
from vlp.cli.inputs import Inputs, load_encoder

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.coverage import Coverage
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.pipeline.results import AccuracyResult
    from vlp.pipeline.trained import TrainedRun
    from vlp.stores.runs import RunDirectory


def zero_shot_of_run(
    run: Path,
    options: TestOptions,
    split: str | None,
    role: str | None,
    device: str,
    text_prompts: str | None,
    *,
    drop_overlap: bool,
    allow_mismatch: bool,
    allow_duplicates: bool,
) -> "tuple[AccuracyResult, tuple[Coverage, ...]]":
    """Test a run on classes that it was not trained on.

    Raises:
        ClassOverlap: if they are of its own dataset, and it was trained on some of them.
    """
    from vlp.pipeline.protocols import ClassOverlap, overlap
    from vlp.pipeline.trained import trained_classes
    from vlp.stores.runs import RunDirectory

    folder = RunDirectory.open(run)
    inputs = options.open(folder)
    config = folder.config()
    kept = kept_classes(inputs.manifest, options.class_names())
    known = overlap(trained_classes(folder, config), kept.classes)
    if known and drop_overlap:
        kept = kept_classes(inputs.manifest, [name for name in kept.classes if name not in set(known)])
    elif known and config.get("dataset") == kept.dataset:
        raise ClassOverlap(kept.dataset, known)
    elif known:
        tell(f"Note: {len(known)} of these classes were trained on too, and are kept: {', '.join(known)}")
    return test_run(
        folder, inputs, kept, "zero-shot", split, role, device, text_prompts=text_prompts,
        allow_mismatch=allow_mismatch, allow_duplicates=allow_duplicates,
    )  # fmt: skip


def test_run(
    folder: "RunDirectory",
    inputs: Inputs,
    kept: "Manifest",
    protocol: str,
    split: str | None,
    role: str | None,
    device: str,
    *,
    text_prompts: str | None,
    allow_mismatch: bool,
    allow_duplicates: bool,
) -> "tuple[AccuracyResult, tuple[Coverage, ...]]":
    """Score a run, and keep the result in it."""
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.evaluation import evaluate_run

    if protocol == "closed-set":
        from vlp.pipeline.trained import trained_classes

        kept = kept_classes(kept, trained_classes(folder, folder.config()))
    covered = cover_classes(kept, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates)
    encoder, trained = load_tested(
        folder, inputs, kept, covered, device, text_prompts, allow_duplicates=allow_duplicates
    )
    result = evaluate_run(
        protocol, trained, kept, covered, inputs.store, encoder, allow_mismatch=allow_mismatch
    )
    write_result(folder, protocol, kept.dataset, split, result.to_json(with_videos=True))
    return result, covered


def load_tested(
    folder: "RunDirectory",
    inputs: Inputs,
    kept: "Manifest",
    covered: "Sequence[Coverage]",
    device: str,
    text_prompts: str | None,
    *,
    allow_duplicates: bool,
) -> "tuple[FrozenEncoder, TrainedRun]":
    """Load a run for the classes that are kept, once it is sure that none of the videos was trained on.

    Raises:
        DuplicateVideos: naming those that were; of a dataset without splits, a note counts them.
    """
    from vlp.pipeline.coverage import DuplicateVideos
    from vlp.pipeline.trained import check_leaks, load_run

    leaks = check_leaks(folder, covered, inputs.store)
    first = covered[0]
    if leaks and not allow_duplicates and first.split is not None:
        raise DuplicateVideos(kept.dataset, first.split, str(first.role), leaks)
    if leaks:
        tell(f"Note: {len(leaks):,} of the tested videos were trained on, such as {leaks[0][1]}")
    encoder = load_encoder(inputs.spec, device)
    return encoder, load_run(folder, encoder, kept.classes, text_prompts=text_prompts)


def write_result(
    folder: "RunDirectory", protocol: str, dataset: str, split: str | None, result: dict[str, object]
) -> None:
    """Keep a result in the run, under the name of what was tested."""
    parts = (protocol, dataset, split)
    folder.write_result("-".join(part.replace("/", "_").replace(" ", "_") for part in parts if part), result)


def kept_classes(manifest: "Manifest", names: Sequence[str] | None) -> "Manifest":
    """Keep some classes of a dataset; None for all."""
    from vlp.pipeline.protocols import only_classes

    return manifest if names is None else only_classes(manifest, names)
