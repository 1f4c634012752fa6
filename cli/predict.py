"""`vlp predict`: the classes of new videos, by a trained run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.errors import DONE, FAILED_VIDEOS
from vlp.cli.options import ClassList, Device, Json, TextPrompts
from vlp.cli.progress import display

if TYPE_CHECKING:
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.pipeline.feature_kind import FeatureKind
    from vlp.pipeline.predict import Prediction
    from vlp.pipeline.trained import TrainedRun
    from vlp.stores.runs import RunDirectory

_NUM_SENTENCES = 5


def predict(
    videos: Annotated[list[Path], typer.Argument(help="Video files, anywhere.", show_default=False)],
    run: Annotated[Path, typer.Option(help="Folder of a finished run.")],
    classes: ClassList = None,
    text_prompts: TextPrompts = None,
    top: Annotated[int, typer.Option(min=1, help="Classes a video.")] = 5,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Name the five sentences that each frame is most like (ap_clip)."),
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="The encoder's weights, if the run's were read from a file.")
    ] = None,
    device: Device = "auto",
    json_output: Json = False,
) -> None:
    """Say what new videos show: the most probable classes of each.

    Example: vlp predict clip.mp4 talk.avi --run runs/ucf101-ju2022-A5-seed0 --classes mine.txt

    A video that cannot be read is listed with the reason. Exit status: 0 done, 1 error, 2 usage, 3 done
    but for failed videos, 130/143 interrupted.
    """
    from vlp.pipeline.feature_kind import FeatureKind
    from vlp.pipeline.published_lists import read_classes
    from vlp.pipeline.trained import check_vocabulary, load_run, settings_of, trained_classes
    from vlp.stores.runs import RunDirectory

    opened = RunDirectory.open(run)
    config, kind = opened.config(), FeatureKind.of_run(opened)
    settings, trained_on = settings_of(opened, config), trained_classes(opened, config)
    names = trained_on if classes is None else read_classes(classes)
    check_vocabulary(settings, trained_on, names)  # refused before weights are loaded
    encoder = _load_encoder(opened, kind, weights, device)
    trained = load_run(opened, encoder, names, text_prompts=text_prompts)
    _note(trained, kind)
    predictions, signal = _predict(videos, trained, kind, encoder, num_top=top, explain=explain)
    if json_output:
        entries = [prediction.to_json() for prediction in predictions]
        print_json({"run": str(run), "classes": list(names), "videos": entries})
    else:
        _print(predictions)
    if signal is not None:
        raise typer.Exit(128 + signal)
    all_read = all(prediction.video.has_features for prediction in predictions)
    raise typer.Exit(DONE if all_read else FAILED_VIDEOS)


def _load_encoder(
    run: "RunDirectory", kind: "FeatureKind", weights: Path | None, device: str
) -> "FrozenEncoder":
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.encoders import choose_device, load_encoder
    from vlp.stores.errors import RunDamaged
    from vlp.stores.runs import CONFIG

    config = run.config()
    model, pretrained = config.get("model"), config.get("pretrained")
    if not (isinstance(model, str) and isinstance(pretrained, str)):
        raise RunDamaged(run.path / CONFIG, "it names no model")
    spec = spec_with_defaults(None, model, str(weights.absolute()) if weights else pretrained)
    chosen = choose_device(device)
    return load_encoder(spec, device=str(chosen), precision=kind.precision_on(chosen))


def _note(trained: "TrainedRun", kind: "FeatureKind") -> None:
    truncated = getattr(trained.method, "truncated", ())
    if truncated:
        err.print(f"Note: too long for the encoder, and cut: {', '.join(truncated[:5])}", markup=False)
    if not kind.is_exact:
        err.print("Note: the run's store is not there; features may differ from it in the last bits.")


def _predict(
    paths: Sequence[Path],
    trained: "TrainedRun",
    kind: "FeatureKind",
    encoder: "FrozenEncoder",
    *,
    num_top: int,
    explain: bool,
) -> "tuple[tuple[Prediction, ...], int | None]":
    from vlp.pipeline.events import Event, StageSeconds, VideoFinished
    from vlp.pipeline.predict import new_features, predict
    from vlp.pipeline.stopping import StopRequest

    seed, seconds = trained.config.get("seed"), StageSeconds()
    with StopRequest() as stop, display(len(paths), seconds) as shown:

        def told(event: Event) -> None:
            if isinstance(event, VideoFinished):
                shown.advance(event.num_rows)

        with new_features(paths, kind, encoder, stop=stop, seconds=seconds, told=told) as new:
            found = predict(
                new,
                trained,
                device=encoder.device,
                seed=seed if isinstance(seed, int) and seed >= 0 else 0,
                num_top=num_top,
                num_sentences=_NUM_SENTENCES if explain else 0,
            )
            return found, new.signal


def _print(predictions: "Sequence[Prediction]") -> None:
    read = [prediction for prediction in predictions if prediction.video.has_features]
    if read:
        rows = [
            (
                _shown(prediction.video.path),
                _shown(prediction.top[0][0]),
                f"{100 * prediction.top[0][1]:.1f}",
                ", ".join(f"{_shown(name)} {100 * share:.1f}" for name, share in prediction.top[1:]),
                "" if prediction.video.status == "ok" else f"in part: {prediction.video.reason}",
            )
            for prediction in read
        ]
        columns = ("video", "class", "%", "then", "decoded")
        whole = not any(row[-1] for row in rows)
        print_table(columns[:-1] if whole else columns, [row[:-1] for row in rows] if whole else rows)
    for prediction in read:
        _print_frames(prediction)
    failed = [prediction.video for prediction in predictions if not prediction.video.has_features]
    if failed:
        rows_failed = [(_shown(video.path), video.reason, _shown(video.detail)) for video in failed]
        print_table(("failed video", "reason", "what happened"), rows_failed, console=out)


def _print_frames(prediction: "Prediction") -> None:
    rows = [
        (
            frame.clip,
            frame.view,
            frame.frame,
            f"{match.cosine:.3f}",
            match.attribute or "-",
            _shown(match.text),
        )
        for frame in prediction.frames
        for match in frame.best
    ]
    if rows:
        title = f"{_shown(prediction.video.path)}: {_shown(prediction.top[0][0])}"
        print_table(("clip", "view", "frame", "cosine", "attribute", "sentence"), rows, title=title)


def _shown(name: object) -> str:
    """Write a name so that it cannot steer the terminal: what cannot be printed is escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in str(name)
    )
