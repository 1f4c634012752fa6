"""What the commands of `vlp eval` share: options, and what they resolve to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vlp.cli.console import err, print_json
from vlp.cli.inputs import DatasetSource, Inputs, open_inputs, open_inputs_of
from vlp.cli.scores import print_accuracy, print_notes, print_trials

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.coverage import Coverage
    from vlp.pipeline.results import AccuracyResult
    from vlp.pipeline.trial_results import TrialsResult
    from vlp.stores.runs import RunDirectory

DatasetOfRun = Annotated[
    str | None, typer.Option("--dataset", help="Which dataset. Default: the run's own, where --run is given.")
]
RunFolder = Annotated[Path | None, typer.Option("--run", help="Folder of a trained run.")]
DrawLists = Annotated[
    list[str] | None,
    typer.Option(
        "--list",
        help="Published draws: JSON, JSON as FILE:KEY, or a video a line; may be given often, once a round.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="A split of the dataset, or all: mean and deviation over its splits. Default: its standard ones."
    ),
]
Role = Annotated[
    str | None,
    typer.Option(help="Which videos of a split are scored. Default: test, or val where test has no labels."),
]
AllowDuplicates = Annotated[
    bool, typer.Option("--allow-duplicates", help="Report, not refuse, tested files that are in train too.")
]
Frames = Annotated[
    int | None,
    typer.Option(min=1, help="Frames averaged a video, evenly spread. Default: all that are stored."),
]
Templates = Annotated[str, typer.Option(help="Set of sentences that a class name is filled into.")]
ClassNames = Annotated[
    Literal["natural", "uncorrected", "raw"],
    typer.Option(help="natural: words in lower case, misspelt ones corrected. raw: as the dataset spells."),
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Print the table of classes too.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is random.")]


@dataclass(frozen=True)
class TestOptions:
    """The options that say what is scored, as they were typed."""

    source: DatasetSource
    model: str | None
    pretrained: str | None
    cache: str | None
    store: str | None
    classes: str | None = None

    def open(self, run: "RunDirectory | None" = None) -> Inputs:
        """Find lists and store; what is not named is the run's own.

        Raises:
            typer.BadParameter: if neither a dataset nor a run is named.
        """
        if run is None and self.source.dataset is None:
            raise typer.BadParameter("name a dataset, or a run with --run", param_hint="--dataset")
        if run is not None:
            return open_inputs_of(
                run,
                self.source,
                model=self.model,
                pretrained=self.pretrained,
                cache=self.cache,
                store=self.store,
            )
        return open_inputs(
            self.source,
            model=self.model,
            pretrained=self.pretrained,
            cache=self.cache,
            store=self.store,
        )

    def class_names(self) -> tuple[str, ...] | None:
        """Read the classes that were listed; None for all.

        Raises:
            ListUnreadable: as `read_classes`.
        """
        from vlp.pipeline.published_lists import read_classes

        return None if self.classes is None else read_classes(self.classes)


@dataclass(frozen=True)
class ClassChoice:
    """Which sets of classes a zero-shot test is made of, as typed.

    Args:
        lists: of classes; none for all classes of the dataset.
        draws: sets to draw; None for none.
        size: classes of a drawn set.
        seed: of the draws.
    """

    lists: tuple[str, ...]
    draws: int | None
    size: int
    seed: int

    def sets_of(self, manifest: "Manifest", without: Sequence[str] = ()) -> "dict[str | None, Manifest]":
        """Keep each set of classes by itself, by its name; None is the name of a single one.

        Args:
            manifest: the dataset.
            without: classes that are left out.

        Raises:
            typer.BadParameter: for several lists to draw from.
            ListUnreadable, UnknownClasses, TooFewClasses: as these say.
        """
        from vlp.pipeline.protocols import draw_class_sets, only_classes
        from vlp.pipeline.published_lists import read_classes

        listed = [only_classes(manifest, read_classes(name)) for name in self.lists] or [manifest]
        if without:
            left = [[name for name in kept.classes if name not in set(without)] for kept in listed]
            listed = [only_classes(kept, names) for kept, names in zip(listed, left, strict=True)]
        if self.draws is not None:
            if len(listed) > 1:
                raise typer.BadParameter("sets are drawn from one list", param_hint="--draws")
            (pool,) = listed
            drawn = draw_class_sets(pool.classes, self.size, self.draws, self.seed)
            return {f"draw {number}": only_classes(pool, names) for number, names in enumerate(drawn, 1)}
        if len(listed) == 1:
            return {None: listed[0]}
        return dict(zip(self.lists, listed, strict=True))

    def to_json(self) -> dict[str, object]:
        """Say how the sets came about, as plain data."""
        drawn = (
            {"num_draws": self.draws, "draw_size": self.size, "draw_seed": self.seed} if self.draws else {}
        )
        return {"class_lists": list(self.lists), **drawn}


def print_result(
    result: "AccuracyResult", coverages: "Sequence[Coverage]", *, per_class: bool, json_output: bool
) -> None:
    """Print accuracies, with what a reader must know on stderr."""
    print_notes(result.provenance, coverages)
    if json_output:
        print_json(result.to_json())
    else:
        print_accuracy(result, per_class=per_class)


def print_repeated(result: "TrialsResult", coverages: "Sequence[Coverage]", *, json_output: bool) -> None:
    """Print what repeated trainings gave, with what a reader must know on stderr."""
    print_notes(result.provenance, coverages)
    if json_output:
        print_json(result.to_json())
    else:
        print_trials(result)


def tell(line: str) -> None:
    """Say on stderr what is being done."""
    err.print(line, markup=False)
