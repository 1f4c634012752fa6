"""Sentences in place of templates, for every method that reads text; a run remembers which they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.class_prompts import ClassPrompts, Sentence
from vlp.datasplits.manifest import Manifest, Video
from vlp.datasplits.prompt_errors import ClassesWithoutSentences
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.class_texts import class_sentences, described_classes
from vlp.pipeline.clips import Clips
from vlp.pipeline.coverage import cover_classes
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import SettingsUnfit
from vlp.pipeline.evaluation import evaluate_run, evaluate_zero_shot
from vlp.pipeline.explanation import NothingToExplain, explain
from vlp.pipeline.methods import METHODS, actionclip, ju2022, motion_prompts, zero_shot
from vlp.pipeline.scoring import scored_clips
from vlp.pipeline.settings import BadSetting, TextPromptsUnread, resolve
from vlp.pipeline.text import sentence_features
from vlp.pipeline.trained import TextPromptsChanged, load_run
from vlp.pipeline.training_runs import config_of, plan_training, train_run
from vlp.stores.errors import RunMismatch
from vlp.stores.features import FeatureStore
from vlp.stores.runs import RunDirectory

CLASSES = ("Archery", "brush_hair")
READERS = set(METHODS) - {"linear_probe"}


def write(path: Path, *texts: tuple[str, ...]) -> str:
    """A file with these sentences for the classes, in their order."""
    found = {
        name: tuple(Sentence(text, "q", "scene", "place") for text in some)
        for name, some in zip(CLASSES, texts, strict=True)
    }
    path.write_bytes(ClassPrompts("x", "x", "", {"scene": ("place",)}, {"q": "?"}, found).to_bytes())
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path / "a.json", ("A bow.",), ("A brush.", "Long hair.", "A mirror."))


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture
def store(make_store: Any, encoder: FrozenEncoder) -> FeatureStore:
    rng = np.random.default_rng(0)
    videos = {f"{name}-{number}": rng.normal(size=(9, 2, 16)) for name in CLASSES for number in range(4)}
    meaning = {
        "weights": encoder.description.weights_sha256,
        "activation": encoder.description.activation,
        "embed_dim": 16,
    }
    return make_store(videos, meaning=meaning, names=("sports", "tiny", "random"))


MANIFEST = Manifest(
    "sports",
    Path("sports"),
    tuple(
        Video(
            f"{name}-{number}",
            f"{name}-{number}",
            (name,),
            splits=(("s", "test" if number == 3 else "train"),),
        )
        for name in CLASSES
        for number in range(4)
    ),
    CLASSES,
)
TEXTS = [
    ["a video of archery. A bow."],
    [
        "a video of brush hair. A brush.",
        "a video of brush hair. Long hair.",
        "a video of brush hair. A mirror.",
    ],
]


def mean_of(encoder: FrozenEncoder, texts: list[str]) -> torch.Tensor:
    return F.normalize(F.normalize(encoder.encode_text(texts), dim=-1).mean(dim=0), dim=-1)


def test_sentences_take_the_place_of_templates(file: str, encoder: FrozenEncoder) -> None:
    options = {"rule": "natural", "template_set": "ensemble"}
    assert class_sentences(CLASSES, text_prompts=file, **options) == [tuple(texts) for texts in TEXTS]
    assert len(class_sentences(CLASSES, text_prompts=None, **options)[0]) == 18
    features = described_classes(encoder, CLASSES, text_prompts=file, **options).features
    torch.testing.assert_close(features, torch.stack([mean_of(encoder, texts) for texts in TEXTS]))


@pytest.mark.parametrize("name", ["zero_shot", "residual_adapter", "tip_adapter", "tip_adapter_f"])
def test_a_method_reads_the_mean_of_the_sentences(name: str, file: str, encoder: FrozenEncoder) -> None:
    settings = resolve(name, text_prompts=file)
    method = settings.module.build(settings.config, encoder, CLASSES)
    features = next(held for held in method.buffers() if held.shape == (2, 16))
    torch.testing.assert_close(features, torch.stack([mean_of(encoder, texts) for texts in TEXTS]))


def test_prompt_vectors_stand_around_every_sentence(file: str, encoder: FrozenEncoder) -> None:
    """Without vectors the tower reads the sentences as they are; with them, a class is the mean over sentences."""
    plain = ju2022.build(ju2022.Config(num_prefix=0, num_suffix=0, text_prompts=file), encoder, CLASSES)
    torch.testing.assert_close(
        plain.class_features(),
        torch.stack([mean_of(encoder, texts) for texts in TEXTS]),
        atol=1e-5,
        rtol=1e-5,
    )
    torch.manual_seed(0)
    prompted = ju2022.build(ju2022.Config(text_prompts=file), encoder, CLASSES)
    torch.manual_seed(0)
    names = ju2022.build(ju2022.Config(class_text="raw"), encoder, TEXTS[1])
    names.load_state_dict(prompted.state_dict())
    expected = F.normalize(names.class_features().mean(dim=0), dim=-1)
    torch.testing.assert_close(prompted.class_features()[1], expected, atol=1e-5, rtol=1e-5)
    prompted(Clips(torch.randn(2, 16, 16), torch.ones(2, dtype=torch.int64))).sum().backward()
    assert prompted.prompts.vectors.grad is not None


def test_sentences_take_the_place_of_actionclips_templates(
    file: str, tmp_path: Path, encoder: FrozenEncoder
) -> None:
    even = write(tmp_path / "even.json", ("A bow.", "An arrow."), ("A brush.", "Long hair."))
    method = actionclip.build(actionclip.Config(text_prompts=even), encoder, CLASSES)
    assert isinstance(method, actionclip.ActionClip)
    expected = [
        sentence_features(encoder, list(texts)).features
        for texts in class_sentences(CLASSES, rule="natural", template_set="none", text_prompts=even)
    ]
    torch.testing.assert_close(method.sentences(), torch.stack(expected))
    with pytest.raises(SettingsUnfit, match="between 1 and 3 sentences"):
        actionclip.build(actionclip.Config(text_prompts=file), encoder, CLASSES)
    with pytest.raises(ValueError, match="a linear one reads none"):
        actionclip.Config(text_prompts=even, classifier="linear")


@pytest.mark.parametrize("prompts", ["motion", "static", "hand-made"])
def test_motion_prompts_stand_before_every_sentence(prompts: Any, file: str, encoder: FrozenEncoder) -> None:
    """A class is the mean of the unit features of its sentences, each behind the prompts and with one full stop."""
    settings = {"prompts": prompts, "communication": False}
    method = motion_prompts.build(motion_prompts.Config(text_prompts=file, **settings), encoder, CLASSES)
    clips = Clips(torch.randn(2, 8, 16))
    motion = motion_prompts.frame_differences(clips.embeddings, 4)
    assert method.motion is not None
    video = method.spatial(clips.embeddings).mean(dim=1) + method.motion(motion).mean(dim=1)
    sentences = [[f"a common human action of {text}" for text in texts] for texts in TEXTS]
    means = torch.stack([mean_of(encoder, texts) for texts in sentences])
    expected = F.normalize(video, dim=-1) @ means.T / 0.07
    torch.testing.assert_close(method(clips), expected, atol=1e-3, rtol=1e-3)


def test_classes_of_which_a_sentence_is_cut_are_reported(tmp_path: Path, encoder: FrozenEncoder) -> None:
    file = write(tmp_path / "a.json", ("A bow.",), ("A brush.", " ".join(["hair"] * 90)))
    for name in ("zero_shot", "residual_adapter", "ju2022", "ap_clip"):
        settings = resolve(name, text_prompts=file)
        assert settings.module.build(settings.config, encoder, CLASSES).truncated == ("brush_hair",)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_that_read_no_sentences_refuse_them_by_name(name: str, file: str) -> None:
    if name in READERS:
        assert (
            resolve(name, text_prompts=file, overrides=["method.text_prompts=other"]).config.text_prompts
            == file
        )
    else:
        with pytest.raises(TextPromptsUnread, match=f"{name} reads no sentences"):
            resolve(name, text_prompts=file)


def test_a_class_that_the_file_lacks_is_named(file: str, encoder: FrozenEncoder) -> None:
    with pytest.raises(ClassesWithoutSentences, match="Diving"):
        zero_shot.build(zero_shot.Config(text_prompts=file), encoder, [*CLASSES, "Diving"])


def trained(
    name: str, store: FeatureStore, encoder: FrozenEncoder, place: Path, text_prompts: str | None
) -> RunDirectory:
    plan = plan_training(MANIFEST, store)
    settings = resolve(name, overrides=["recipe.num_epochs=1"], text_prompts=text_prompts)
    run = RunDirectory.create(place, config_of(plan, settings, store, encoder))
    list(train_run(run, plan, settings, store, encoder))
    return run


def test_a_run_remembers_its_sentences_and_refuses_others_of_that_name(
    file: str, store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    run = trained("residual_adapter", store, encoder, tmp_path / "run", file)
    assert load_run(run, encoder).settings.config.text_prompts == file
    other = write(tmp_path / "b.json", ("An arrow.",), ("A comb.",))
    Path(file).write_bytes(Path(other).read_bytes())
    with pytest.raises(TextPromptsChanged, match=r"a\.json are not those that"):
        load_run(run, encoder)
    with pytest.raises(RunMismatch, match="text_prompts"):
        trained("residual_adapter", store, encoder, tmp_path / "run", file)


def test_a_run_is_tested_with_other_sentences_and_says_so(
    file: str, store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    run = trained("ap_clip", store, encoder, tmp_path / "run", file)
    other = write(tmp_path / "b.json", ("An arrow.",), ("A comb.",))
    loaded = load_run(run, encoder, text_prompts=other)
    covered = cover_classes(MANIFEST, store, split="s", role="test")
    provenance = evaluate_run("zero-shot", loaded, MANIFEST, covered, store, encoder).provenance
    assert provenance["text_prompts"]["source"] == other
    assert provenance["view_aggregation"] == "all frames as one clip"
    plain = trained("ap_clip", store, encoder, tmp_path / "plain", None)
    assert "text_prompts" not in plain.config()
    assert (
        load_run(plain, encoder, text_prompts=other).settings.config.chosen_strategy == "action-conditioned"
    )
    probe = trained("linear_probe", store, encoder, tmp_path / "probe", None)
    with pytest.raises(TextPromptsUnread, match="linear_probe"):
        load_run(probe, encoder, text_prompts=other)


def test_sentences_that_a_run_s_strategy_has_no_use_for_are_refused(
    file: str, store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    plan = plan_training(MANIFEST, store)
    settings = resolve("ap_clip", row="single")
    run = RunDirectory.create(tmp_path / "run", config_of(plan, settings, store, encoder))
    list(train_run(run, plan, settings, store, encoder))
    with pytest.raises(BadSetting, match="reads no sentences"):
        load_run(run, encoder, text_prompts=file)


def test_zero_shot_says_which_sentences_it_read(
    file: str, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    covered = cover_classes(MANIFEST, store, split="s", role="test")
    config = zero_shot.Config(text_prompts=file)
    provenance = evaluate_zero_shot(MANIFEST, covered, store, encoder, config).provenance
    assert provenance["text_prompts"]["source"] == file
    assert provenance["templates"] is None


def test_every_frame_of_every_clip_and_view_is_explained_in_order(
    file: str, store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    loaded = load_run(trained("ap_clip", store, encoder, tmp_path / "run", file), encoder)
    bank = FeatureBank(store, ["brush_hair-3"])
    found = explain(loaded, bank, 0, 1, seed=0, device=torch.device("cpu"), num_best=2)
    recipe = loaded.settings.recipe
    assert [(one.clip, one.view, one.frame) for one in found] == [
        (clip, view, frame) for clip in (1, 2) for view in (1, 2) for frame in range(1, 9)
    ]
    assert {len(one.best) for one in found} == {2}
    frames = scored_clips(bank, np.array([0]), recipe, 0)
    assert tuple(one.best for one in found) == tuple(loaded.method.frame_matches(frames, 1, 2))
    assert found[0].to_json()["best"][0].keys() == {"text", "attribute", "cosine"}


def test_a_method_that_compares_no_frames_explains_nothing(
    store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    loaded = load_run(trained("linear_probe", store, encoder, tmp_path / "run", None), encoder)
    bank = FeatureBank(store, ["brush_hair-3"])
    with pytest.raises(NothingToExplain, match="linear_probe"):
        explain(loaded, bank, 0, 1, seed=0, device=torch.device("cpu"), num_best=2)
