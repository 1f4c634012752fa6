"""ActionCLIP's loss against the released code's values, and its scores against their definition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.errors import DatasetError
from vlp.datasplits.templates import template_set
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods.actionclip import (
    RECIPE,
    ROWS,
    ActionClip,
    ClipLengthUnsuitable,
    Config,
    SettingsUnfit,
    build,
    loss,
    matching_loss,
    matching_targets,
)
from vlp.pipeline.optimisation import share_of_learning_rate
from vlp.pipeline.text import class_features

GOLDEN = Path(__file__).parents[2] / "golden"
KL_CASES = [
    case
    for case in json.loads((GOLDEN / "actionclip_klloss.json").read_text(encoding="utf-8"))["cases"]
    if "labels" in case and "target_rows" in case
]
CLASSES = ("Archery", "BrushHair", "yo-yo", "Punch")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def made(encoder: FrozenEncoder, **settings: Any) -> ActionClip:
    torch.manual_seed(0)
    return build(Config(**{"num_layers": 1, "num_heads": 2, **settings}), encoder, CLASSES)


def clips(num_videos: int = 6, num_frames: int = 8) -> Clips:
    return Clips(5 * torch.randn(num_videos, num_frames, 16, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("case", KL_CASES, ids=lambda case: f"{case['labels']}-{case['logit_scale']}")
def test_the_official_loss_and_its_gradient_are_the_releases(case: dict[str, Any]) -> None:
    labels = torch.tensor(case["labels"])
    targets = matching_targets(labels, variant="official")
    np.testing.assert_allclose(targets.numpy(), case["target_rows"], atol=1e-6)
    logits = torch.tensor(case["logits_per_image"], requires_grad=True)
    total = matching_loss(logits, labels, variant="official")
    assert total.item() == pytest.approx(case["total"], rel=1e-5, abs=1e-6)
    one_way = F.kl_div(logits.log_softmax(dim=-1), targets, reduction="batchmean")
    assert one_way.item() == pytest.approx(case["loss_image"], rel=1e-5, abs=1e-6)
    (gradient,) = torch.autograd.grad(one_way, logits)
    np.testing.assert_allclose(gradient.numpy(), case["grad_logits_per_image"], atol=1e-6)


def test_the_papers_targets_are_spread_evenly_over_right_answers() -> None:
    targets = matching_targets(torch.tensor([3, 0, 3, 3]), variant="paper")
    third = 1 / 3
    expected = [[third, 0, third, third], [0, 1, 0, 0], [third, 0, third, third], [third, 0, third, third]]
    torch.testing.assert_close(targets, torch.tensor(expected))


def test_the_papers_loss_is_0_where_predictions_are_the_targets() -> None:
    labels = torch.tensor([0, 1, 0, 2])
    matched = torch.where(labels[:, None] == labels, 50.0, -50.0).requires_grad_()
    value = matching_loss(matched, labels, variant="paper")
    assert value.item() == pytest.approx(0, abs=1e-5)
    (gradient,) = torch.autograd.grad(value, matched)
    assert float(gradient.abs().max()) < 1e-5


def test_one_video_a_class_is_the_symmetric_cross_entropy() -> None:
    """KL(q || p) is cross-entropy where q is one-hot."""
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(5)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(matching_loss(logits, labels, variant="paper"), expected)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_scores_are_the_mean_over_templates_of_the_chances(variant: Any, encoder: FrozenEncoder) -> None:
    method = made(encoder, head="meanp", variant=variant).eval()
    video = F.normalize(clips().embeddings.mean(dim=1), dim=-1)
    scale = float(encoder.clip.logit_scale.exp()) if variant == "paper" else 100.0
    by_template = [
        (
            scale
            * video
            @ class_features(encoder, ["archery", "brush hair", "yo-yo", "punch"], [template]).features.T
        ).softmax(dim=-1)
        for template in template_set("ensemble")
    ]
    with torch.no_grad():
        scores = method(clips())
    torch.testing.assert_close(
        scores.softmax(dim=-1), torch.stack(by_template).mean(dim=0), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(scores.exp().sum(dim=-1), torch.ones(6))


def test_a_step_compares_with_a_sentence_of_the_videos_own_class(encoder: FrozenEncoder) -> None:
    """With one template nothing is drawn, and the loss is that of its definition."""
    method = made(encoder, template_set="single")
    labels = torch.tensor([0, 1, 1, 3, 2, 0])
    with torch.no_grad():
        texts = method.sentences[:, 0][labels]
        logits = method.log_scale.exp() * method.video_features(clips()) @ texts.T
        expected = matching_loss(logits, labels, variant="paper")
        torch.testing.assert_close(loss(method, clips(), labels), expected)


def test_templates_are_drawn_anew_and_by_the_seed(encoder: FrozenEncoder) -> None:
    method, labels = made(encoder), torch.tensor([0, 1, 1, 3, 2, 0])
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(loss(method, clips(), labels).item())
    assert values[0] == values[1] != values[2]


def test_the_rate_is_the_releases_but_for_the_first_step() -> None:
    """It warms up over 5 of 50 epochs and falls as a cosine; the release begins at 0, where a step moves nothing."""
    golden = json.loads((GOLDEN / "actionclip_lr.json").read_text(encoding="utf-8"))
    steps_per_epoch = 1000
    share = share_of_learning_rate(RECIPE, steps_per_epoch)
    for epoch, _, rate in golden["rows"]:
        ours = RECIPE.learning_rate * share(round(epoch * steps_per_epoch))
        assert ours == pytest.approx(rate, abs=RECIPE.learning_rate / (5 * steps_per_epoch) * 1.01)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_paper_can_be_built_and_takes_a_step(row: str, encoder: FrozenEncoder) -> None:
    method = made(encoder, **ROWS[row])  # type: ignore[arg-type]
    value = loss(method, clips(), torch.tensor([0, 1, 1, 3, 2, 0]))
    gradients = torch.autograd.grad(value, list(method.parameters()))
    assert all(bool(gradient.abs().max() > 0) for gradient in gradients)
    assert method.sentences.shape[:2] == (4, 1 if row == "no-templates" else 18)


@pytest.mark.parametrize("head", ["transf", "transf_cls"])
def test_clips_of_another_length_than_its_positions_are_refused(head: str, encoder: FrozenEncoder) -> None:
    with pytest.raises(ClipLengthUnsuitable, match=r"8 positions and was given clips of 5 frames"):
        made(encoder, head=head)(clips(num_frames=5))


@pytest.mark.parametrize("head", ["meanp", "conv1d", "lstm"])
def test_other_heads_take_clips_of_any_length(head: str, encoder: FrozenEncoder) -> None:
    assert made(encoder, head=head)(clips(num_frames=5)).shape == (6, 4)


@pytest.mark.parametrize(
    "settings",
    [
        {"head": "pooled"},
        {"variant": "exact"},
        {"num_layers": 0},
        {"num_heads": 0},
        {"max_frames": 0},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Config(**settings)


@pytest.mark.parametrize("settings", [{"template_set": "mine"}, {"class_text": "mine"}])
def test_names_that_are_not_there_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="mine"):
        Config(**settings)


def test_a_model_without_room_for_the_settings_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(SettingsUnfit, match="num_heads"):
        made(encoder, num_heads=3)
    with pytest.raises(ValueError, match="no class"):
        build(Config(), encoder, [])
