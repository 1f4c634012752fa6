"""`vlp eval` as it is typed: what it prints where, and its exit status."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from vlp.cli.errors import explain
from vlp.cli.eval import app
from vlp.pipeline.coverage_errors import ClassAbsent, NoCaptions
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.text import class_features
from vlp.stores.errors import FeaturesMissing, StoreMismatch
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]
CLASSES = ("brush_hair", "fall_floor", "shake [hands]")
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
ROWS = """path,label,split,caption
hair1.mp4,brush_hair,test,a woman brushes her hair
hair2.mp4,brush_hair,test,a man brushes his hair
fall1.mp4,fall_floor,test,somebody falls
fall2.mp4,fall_floor,train,somebody falls down
hand1.mp4,shake [hands],test,two men shake hands
hand2.mp4,shake [hands],test,two women shake hands
"""


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights in open_clip's layout."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": CONFIG, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = open_clip.CLIP(**CONFIG).state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors"
    )
    return folder


@pytest.fixture(scope="session")
def encoder(model_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{model_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "videos.csv"
    path.write_text(ROWS)
    return path


@pytest.fixture
def features(encoder: FrozenEncoder) -> dict[str, np.ndarray]:
    """Tested videos lie on the text of their class, but hand2 looks like a fall; fall1 is missing."""
    texts = class_features(
        encoder, ["brush hair", "fall floor", "shake"], ["a photo of {}."]
    ).features.numpy()
    hair, fall, _ = texts[:, None, None]
    hands = class_features(encoder, ["shake [hands]"], ["{}"]).features.numpy()[:, None]
    return {"hair1": hair, "hair2": hair, "fall2": fall, "hand1": hands, "hand2": fall}


@pytest.fixture
def store(make_store: MakeStore, encoder: FrozenEncoder, features: dict[str, np.ndarray]) -> FeatureStore:
    meaning = {
        "weights": encoder.description.weights_sha256,
        "activation": encoder.description.activation,
        "embed_dim": 16,
    }
    names = ("folder", encoder.spec.model, encoder.spec.pretrained_name)
    return make_store(features, meaning=meaning, names=names, failed={"fall1": "truncated"})


@pytest.fixture
def arguments(tmp_path: Path, manifest: Path, model_folder: Path) -> list[str]:
    """What every command here is given."""
    options = {
        "--dataset": "folder",
        "--root": tmp_path,
        "--manifest": manifest,
        "--model": f"local-dir:{model_folder}",
        "--cache": tmp_path / "cache",
        "--device": "cpu",
    }
    return [str(part) for pair in options.items() for part in pair]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def result_of(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_zero_shot_prints_a_row_a_split_and_says_what_is_missing(
    store: FeatureStore, arguments: list[str]
) -> None:
    done = run("zero-shot", *arguments, "--per-class")
    assert done.exit_code == 0, done.output
    assert "Zero-shot, folder, 3 classes" in done.stdout
    assert "default" in done.stdout
    assert "shake [hands]" in done.stdout
    assert str(store.path) in done.stdout
    assert (
        "1 of 5 videos of default have no features and are not scored (truncated), such as fall1"
        in done.stderr
    )


def test_the_table_and_the_json_give_the_same_numbers(store: FeatureStore, arguments: list[str]) -> None:
    result = result_of("zero-shot", *arguments)
    (row,) = [line for line in run("zero-shot", *arguments).stdout.splitlines() if line.startswith("default")]
    low, high = result["splits"][0]["top1_interval"]
    assert row.split()[1:] == [
        "4",
        "5",
        *(f"{100 * value:.1f}" for value in (result["top1"], low, high)),
        "-",
        "-",
        f"{100 * result['mean_class']:.1f}",
    ]


def test_json_holds_nothing_else_and_finds_the_known_classes(
    store: FeatureStore, arguments: list[str]
) -> None:
    (split,) = result_of("zero-shot", *arguments)["splits"]
    hair, fall, hands = split["per_class"]
    assert (hair["name"], hair["num_videos"], hair["top1"]) == ("brush_hair", 2, 1.0)
    assert (fall["num_videos"], fall["top1"]) == (0, None)
    assert hands["num_videos"] == 2
    assert split["confusion"][2][1] >= 1


def test_retrieval_prints_both_directions(store: FeatureStore, arguments: list[str]) -> None:
    done = run("retrieval", *arguments)
    assert done.exit_code == 0, done.output
    rows = [line for line in done.stdout.splitlines() if line.startswith("default")]
    assert [row.split()[1:4] for row in rows] == [["text", "to", "video"], ["video", "to", "text"]]
    assert result_of("retrieval", *arguments)["splits"][0]["text_to_video"]["num_queries"] == 4


def test_settings_reach_the_result(store: FeatureStore, arguments: list[str]) -> None:
    settings = ["--templates", "ensemble", "--class-names", "raw", "--frames", "3", "--role", "test"]
    result = result_of("zero-shot", *arguments, *settings, "--split", "default")
    assert (result["template_set"], result["class_text"], result["frames"]) == (
        "ensemble",
        "raw",
        "3 segment centres",
    )
    ranked = result_of("retrieval", *arguments, "--ties", "average", "--frames", "1")
    assert (ranked["ties"], ranked["frames"]) == ("average", "1 segment centres")


def test_a_store_can_be_named(store: FeatureStore, arguments: list[str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.vlp"
    store.path.rename(elsewhere)
    named = [*arguments, "--store", str(elsewhere)]
    assert result_of("zero-shot", *named)["store"]["path"] == str(elsewhere)
    missing = run("zero-shot", *arguments)
    assert isinstance(missing.exception, FeaturesMissing)


def test_features_that_are_not_there_say_what_to_type(arguments: list[str]) -> None:
    error = run("zero-shot", *arguments).exception
    assert isinstance(error, FeaturesMissing)
    explained = explain(error)
    assert explained is not None
    assert explained.status == 4
    assert "Run: vlp extract --dataset folder" in explained.text


def test_features_of_another_model_are_refused_unless_allowed(
    make_store: MakeStore, features: dict[str, np.ndarray], arguments: list[str], model_folder: Path
) -> None:
    foreign = make_store(
        features,
        meaning={"weights": "f" * 64, "activation": "gelu", "embed_dim": 16},
        names=("folder", f"local-dir:{model_folder}", "folder"),
    )
    refused = run("zero-shot", *arguments, "--store", str(foreign.path))
    assert isinstance(refused.exception, StoreMismatch)
    allowed = run("zero-shot", *arguments, "--store", str(foreign.path), "--allow-mismatch")
    assert allowed.exit_code == 0, allowed.output
    assert "the features are another model's: weights" in allowed.stderr


def test_a_tested_file_that_is_in_train_is_refused_unless_allowed(
    make_store: MakeStore, store: FeatureStore, features: dict[str, np.ndarray], arguments: list[str]
) -> None:
    more = make_store(
        features, meaning={**store.meaning, "views": 1}, contents={"fall2": "same", "hand1": "same"}
    )
    named = ["--store", str(more.path)]
    assert "fall2 = hand1" in str(run("zero-shot", *arguments, *named).exception)
    allowed = run("zero-shot", *arguments, *named, "--allow-duplicates")
    assert "1 tested videos of default are in train too" in allowed.stderr


def test_what_is_missing_from_the_list_is_said_before_a_model_is_loaded(
    store: FeatureStore, arguments: list[str], manifest: Path
) -> None:
    assert isinstance(run("zero-shot", *arguments, "--role", "train").exception, ClassAbsent)
    manifest.write_text("\n".join(line.rpartition(",")[0] for line in ROWS.splitlines()))
    assert isinstance(run("retrieval", *arguments).exception, NoCaptions)


@pytest.mark.parametrize(
    "wrong", [["--class-names", "loud"], ["--frames", "0"], ["--frames", "few"], ["--nonsense"]]
)
def test_options_that_make_no_sense_are_a_usage_error(arguments: list[str], wrong: list[str]) -> None:
    assert run("zero-shot", *arguments, *wrong).exit_code == 2


@pytest.mark.parametrize("command", ["zero-shot", "retrieval"])
def test_help_shows_an_example_and_needs_no_torch(command: str) -> None:
    assert f"Example: vlp eval {command} --dataset" in run(command, "--help").stdout
    code = "import sys, vlp.cli.eval; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, env=dict(os.environ))
    assert done.returncode == 0
