"""Test a trained run: on its own classes, or on classes that it was not trained on."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from vlp.cli.eval_options import ClassChoice, TestOptions, tell
from vlp.cli.inputs import Inputs, load_encoder

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.coverage import Coverage
    from vlp.pipeline.results import AccuracyResult
    from vlp.stores.runs import RunDirectory


def zero_shot_of_run(
    run: Path,
    options: TestOptions,
    chosen: ClassChoice,
    split: str | None,
    role: str | None,
    device: str,
    text_prompts: str | None,
    *,
    drop_overlap: bool,
    allow_mismatch: bool,
    allow_duplicates: bool,
) -> "tuple[AccuracyResult, tuple[Coverage, ...]]":
    """Test a run on classes that it was not trained on: all of them, those listed, or sets that are drawn.

    Raises:
        ClassOverlap: if they are of its own dataset, and it was trained on some of them.
    """
    from vlp.pipeline.protocols import ClassOverlap, overlap
    from vlp.pipeline.trained import trained_classes
    from vlp.stores.runs import RunDirectory

    folder = RunDirectory.open(run)
    inputs = options.open(folder)
    config = folder.config()
    seen = overlap(trained_classes(folder, config), inputs.manifest.classes)
    new_only = drop_overlap or chosen.draws is not None
    sets = chosen.sets_of(inputs.manifest, without=seen if new_only else ())
    asked = {name for kept in sets.values() for name in kept.classes}
    known = [name for name in seen if name in asked]
    if known and config.get("dataset") == inputs.manifest.dataset:
        raise ClassOverlap(inputs.manifest.dataset, known)
    if known:
        tell(f"Note: {len(known)} of these classes were trained on too, and are kept: {', '.join(known)}")
    return test_run(
        folder, inputs, sets, "zero-shot", split, role, device, facts=chosen.to_json(),
        text_prompts=text_prompts, allow_mismatch=allow_mismatch, allow_duplicates=allow_duplicates,
    )  # fmt: skip


def test_run(
    folder: "RunDirectory",
    inputs: Inputs,
    sets: "Mapping[str | None, Manifest]",
    protocol: str,
    split: str | None,
    role: str | None,
    device: str,
    *,
    facts: Mapping[str, object],
    text_prompts: str | None,
    allow_mismatch: bool,
    allow_duplicates: bool,
) -> "tuple[AccuracyResult, tuple[Coverage, ...]]":
    """Score a run on one or more sets of classes, each by itself, and keep the result in it."""
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.evaluation import evaluate_run
    from vlp.pipeline.results import joined
    from vlp.pipeline.trained import load_run

    covered = [
        cover_classes(kept, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates)
        for kept in sets.values()
    ]
    every = tuple(chain(*covered))
    check_untrained(folder, inputs, every, allow_duplicates=allow_duplicates)
    encoder = load_encoder(inputs.spec, device)
    results = {
        name: evaluate_run(
            protocol,
            load_run(folder, encoder, kept.classes, text_prompts=text_prompts),
            kept,
            of_set,
            inputs.store,
            encoder,
            allow_mismatch=allow_mismatch,
        )
        for (name, kept), of_set in zip(sets.items(), covered, strict=True)
    }
    result = joined(results, facts)
    write_result(folder, protocol, inputs.manifest.dataset, split, result.to_json(with_videos=True))
    return result, every


def check_untrained(
    folder: "RunDirectory", inputs: Inputs, covered: "Sequence[Coverage]", *, allow_duplicates: bool
) -> None:
    """Make sure that a run was trained on none of the tested videos.

    Raises:
        DuplicateVideos: naming those that it was; of a dataset without splits, a note counts them.
    """
    from vlp.pipeline.coverage_errors import DuplicateVideos
    from vlp.pipeline.trained import check_leaks

    leaks = check_leaks(folder, covered, inputs.store)
    first = covered[0]
    if leaks and not allow_duplicates and first.split is not None:
        raise DuplicateVideos(inputs.manifest.dataset, first.split, str(first.role), leaks)
    if leaks:
        tell(f"Note: {len(leaks):,} of the tested videos were trained on, such as {leaks[0][1]}")


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
