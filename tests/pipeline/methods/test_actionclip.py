"""ActionCLIP's scores and steps against their definition, its rate against the released code's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.errors import DatasetError
from vlp.datasplits.templates import template_set
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import ClipLengthUnsuitable, SettingsUnfit
from vlp.pipeline.methods.actionclip import (
    RECIPE,
    ROWS,
    ActionClip,
    Config,
    UnimodalClassifier,
    build,
    loss,
)
from vlp.pipeline.optimisation import make_optimizer, share_of_learning_rate
from vlp.pipeline.parts.class_sentences import EncodedSentences
from vlp.pipeline.parts.matching_loss import matching_loss
from vlp.pipeline.settings import resolve
from vlp.pipeline.text import class_features
from vlp.pipeline.trained import is_open_vocabulary

GOLDEN = Path(__file__).parents[2] / "golden"
CLASSES = ("Archery", "BrushHair", "yo-yo", "Punch")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def built(encoder: FrozenEncoder, **settings: Any) -> ActionClip | UnimodalClassifier:
    torch.manual_seed(0)
    return build(Config(**{"num_layers": 1, "num_heads": 2, **settings}), encoder, CLASSES)


def made(encoder: FrozenEncoder, **settings: Any) -> ActionClip:
    method = built(encoder, **settings)
    assert isinstance(method, ActionClip)
    return method


def clips(num_videos: int = 6, num_frames: int = 8) -> Clips:
    return Clips(5 * torch.randn(num_videos, num_frames, 16, generator=torch.Generator().manual_seed(1)))


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
        texts = method.sentences()[:, 0][labels]
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
    method = built(encoder, **ROWS[row])
    value = loss(method, clips(), torch.tensor([0, 1, 1, 3, 2, 0]))
    gradients = torch.autograd.grad(value, list(method.parameters()))
    assert all(bool(gradient.abs().max() > 0) for gradient in gradients)


@pytest.mark.parametrize("row", [row for row in ROWS if row != "unimodal"])
def test_every_class_has_a_sentence_a_template(row: str, encoder: FrozenEncoder) -> None:
    num_templates = 1 if row == "no-templates" else 18
    assert made(encoder, **ROWS[row]).sentences().shape == (4, num_templates, 16)


def test_a_tuned_tower_begins_where_the_frozen_one_stays(encoder: FrozenEncoder) -> None:
    frozen, tuned = made(encoder).eval(), made(encoder, tune_text=True).eval()
    torch.testing.assert_close(tuned(clips()), frozen(clips()), atol=1e-4, rtol=1e-4)
    labels = torch.tensor([0, 1, 1, 3, 2, 0])
    torch.manual_seed(3)
    expected = loss(frozen, clips(), labels)
    torch.manual_seed(3)
    torch.testing.assert_close(loss(tuned, clips(), labels), expected, atol=1e-4, rtol=1e-4)


def test_sentences_are_encoded_again_only_when_the_tower_has_changed(encoder: FrozenEncoder) -> None:
    method = made(encoder, tune_text=True).eval()
    with torch.inference_mode():
        first = method.sentences()
        assert method.sentences() is first
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.1)
    loss(method.train(), clips(), torch.tensor([0, 1, 1, 3, 2, 0])).backward()
    optimizer.step()
    method.eval()
    with torch.no_grad():
        moved = method.sentences()
        assert (moved - first).abs().max() > 1e-3
        assert method.sentences() is moved
    method.load_state_dict(made(encoder, tune_text=True).state_dict())
    with torch.no_grad():
        torch.testing.assert_close(method.sentences(), first)


def test_a_step_encodes_the_sentences_of_the_batch_only(
    encoder: FrozenEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = made(encoder, tune_text=True)
    assert isinstance(method.sentences, EncodedSentences)
    seen: list[int] = []
    method.sentences.tower.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    loss(method, clips(), torch.tensor([0, 1, 1, 3, 2, 0])).backward()
    assert seen == [6]


def test_a_frozen_random_tower_is_saved_and_not_trained(encoder: FrozenEncoder) -> None:
    method = made(encoder, init_text="random").eval()
    assert not any(parameter.requires_grad for parameter in method.sentences.parameters())
    torch.manual_seed(99)  # another process draws other weights
    other = build(method.config, encoder, CLASSES).eval()
    with torch.no_grad():
        assert (other(clips()) - method(clips())).abs().max() > 1e-3
        other.load_state_dict(method.state_dict())
        assert torch.equal(other(clips()), method(clips()))


def test_what_comes_from_clip_has_the_towers_rate(encoder: FrozenEncoder) -> None:
    method = made(encoder, tune_text=True)
    new, tower = make_optimizer(method, RECIPE).param_groups
    assert (new["lr"], tower["lr"]) == (5e-5, 5e-6)
    assert {id(parameter) for parameter in new["params"]} == {id(p) for p in method.head.parameters()}
    of_clip = {id(method.log_scale), *(id(parameter) for parameter in method.sentences.parameters())}
    assert {id(parameter) for parameter in tower["params"]} == of_clip
    alone = make_optimizer(made(encoder, head="meanp"), RECIPE).param_groups
    assert [group["lr"] for group in alone] == [5e-6]


def test_the_unimodal_row_classifies_the_heads_feature_as_it_is(encoder: FrozenEncoder) -> None:
    method = built(encoder, **ROWS["unimodal"])
    assert isinstance(method, UnimodalClassifier)
    labels = torch.tensor([0, 1, 1, 3, 2, 0])
    with torch.no_grad():
        pooled = method.head(clips().embeddings)
        logits = pooled @ method.linear.weight.T + method.linear.bias
        torch.testing.assert_close(method(clips()), logits)
        torch.testing.assert_close(loss(method, clips(), labels), F.cross_entropy(logits, labels))
    assert method.truncated == ()


def test_only_a_linear_classifier_is_bound_to_its_classes() -> None:
    assert {row for row in ROWS if not is_open_vocabulary(resolve("actionclip", row=row))} == {"unimodal"}


def test_clips_and_views_are_averaged_as_similarities(encoder: FrozenEncoder) -> None:
    """The mean of a video's cosines with each sentence, then softmax over classes, then mean over templates."""
    method = made(encoder).eval()
    assert RECIPE.aggregation == "similarities"
    with torch.no_grad():
        cosines = torch.einsum("bd,ckd->kbc", method.video_features(clips()), method.sentences())
        expected = (method.log_scale.exp() * cosines.mean(dim=1)).softmax(dim=-1).mean(dim=0)
        mean = method.similarities(clips()).mean(dim=0, keepdim=True)
    torch.testing.assert_close(method.logits_of(mean)[0].softmax(dim=-1), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("classifier", ["text", "linear"])
@pytest.mark.parametrize("head", ["transf", "transf_cls"])
def test_clips_of_another_length_than_its_positions_are_refused(
    head: str, classifier: str, encoder: FrozenEncoder
) -> None:
    with pytest.raises(ClipLengthUnsuitable, match=r"8 positions and was given clips of 5 frames"):
        built(encoder, head=head, classifier=classifier)(clips(num_frames=5))


@pytest.mark.parametrize("head", ["meanp", "conv1d", "lstm"])
def test_other_heads_take_clips_of_any_length(head: str, encoder: FrozenEncoder) -> None:
    assert made(encoder, head=head)(clips(num_frames=5)).shape == (6, 4)


@pytest.mark.parametrize(
    "settings",
    [
        {"head": "pooled"},
        {"variant": "exact"},
        {"classifier": "nearest"},
        {"init_text": "zeros"},
        {"tune_text": True, "classifier": "linear"},
        {"init_text": "random", "classifier": "linear"},
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
