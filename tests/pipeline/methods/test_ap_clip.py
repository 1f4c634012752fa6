"""AP-CLIP against the paper's definitions, and against CLIP as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.class_prompts import ClassPrompts, Sentence
from vlp.datasplits.prompt_errors import ClassesWithoutSentences, PromptsMissing, UnknownAspects
from vlp.datasplits.prompt_questions import QUESTION_SETS, graph
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import ap_clip, zero_shot
from vlp.pipeline.methods.ap_clip import ApClip, Config, SentencesNeeded, build
from vlp.pipeline.settings import BadSetting, resolve

CLASSES = ("Archery", "BrushHair", "yo-yo")
QUESTIONS = {question: text for found in QUESTION_SETS.values() for question, text in found.items()}


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sentences of every kind; the second class has two of an attribute."""
    classes = {
        name: (
            *(
                Sentence(f"The {attribute} of number {number}.", "describe", aspect, attribute)
                for aspect, attributes in graph().items()
                for attribute in attributes
            ),
            *[Sentence("Once more, the place.", "typical", "scene", "place")] * (number == 1),
            Sentence(f"It looks like {number}.", "custom_look"),
            Sentence(f"One does {number}.", "direct"),
        )
        for number, name in enumerate(CLASSES)
    }
    path = tmp_path_factory.mktemp("prompts") / "sentences.json"
    path.write_bytes(ClassPrompts("x", "x", "2026-11-21", graph(), QUESTIONS, classes).to_bytes())
    return str(path)


def made(encoder: Any, names: Sequence[str] = CLASSES, **settings: Any) -> ApClip:
    torch.manual_seed(0)
    return build(Config(**settings), encoder, names)


def clips(num_videos: int = 5, num_frames: int = 4) -> Clips:
    return Clips(10 * torch.randn(num_videos, num_frames, 16, generator=torch.Generator().manual_seed(1)))


def encoded(encoder: FrozenEncoder, texts: Sequence[str]) -> torch.Tensor:
    return F.normalize(encoder.encode_text(list(texts)), dim=-1).clone()


@pytest.mark.parametrize(("strategy", "templates"), [("single", "video"), ("set", "ensemble")])
def test_templates_with_the_mean_are_clip_with_the_same_templates(
    strategy: str, templates: str, encoder: FrozenEncoder
) -> None:
    method = made(encoder, strategy=strategy, similarity="mean", mode="zero-shot")
    clip = zero_shot.build(zero_shot.Config(template_set=templates), encoder, CLASSES)
    torch.testing.assert_close(method(clips()), clip(clips()), atol=1e-4, rtol=1e-5)


def test_each_sentence_stands_behind_the_template_with_the_action(encoder: FrozenEncoder, file: str) -> None:
    method = made(encoder, text_prompts=file, strategy="action-conditioned")
    assert [len(found) for found in method.sentences] == [12, 13, 12]
    first = method.sentences[1][0]
    assert (first.text, first.attribute) == ("a video of brush hair. The place of number 1.", "place")


def test_maka_is_the_papers_similarity_of_frames_and_sentences(encoder: FrozenEncoder, file: str) -> None:
    method = made(encoder, text_prompts=file, strategy="action-conditioned", mode="zero-shot")
    frames = F.normalize(clips().embeddings, dim=-1)
    scale = zero_shot.build(zero_shot.Config(), encoder, CLASSES).logit_scale
    logits = method(clips())
    for number, sentences in enumerate(method.sentences):
        cosines = frames @ encoded(encoder, [one.text for one in sentences]).T
        v2t, t2v = cosines.amax(dim=2).mean(dim=1), cosines.amax(dim=1).mean(dim=1)
        torch.testing.assert_close(logits[:, number], scale * (v2t + t2v) / 2, atol=1e-4, rtol=1e-5)


def test_the_mean_similarity_is_the_mean_frame_against_the_mean_sentence(
    encoder: FrozenEncoder, file: str
) -> None:
    settings = {"strategy": "action-conditioned", "similarity": "mean", "mode": "zero-shot"}
    method = made(encoder, text_prompts=file, **settings)
    video = F.normalize(clips().embeddings.mean(dim=1), dim=-1)
    texts = [one.text for one in method.sentences[1]]
    expected = video @ F.normalize(encoded(encoder, texts).mean(dim=0), dim=-1)
    torch.testing.assert_close(method(clips())[:, 1] / method.logit_scale, expected)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"strategy": "customised"}, 1),
        ({"strategy": "direct"}, 1),
        ({"strategy": "action-conditioned", "aspects": ("scene", "actor")}, 8),
        ({"strategy": "action-conditioned", "aspects": ("body",)}, 4),
    ],
)
def test_a_strategy_reads_its_own_sentences(
    settings: dict[str, Any], count: int, encoder: FrozenEncoder, file: str
) -> None:
    assert len(made(encoder, text_prompts=file, **settings).sentences[0]) == count


def test_an_untrained_adapter_changes_nothing_and_one_step_makes_it_better(
    encoder: FrozenEncoder, file: str
) -> None:
    settings = {"text_prompts": file, "strategy": "action-conditioned"}
    adapter, plain = made(encoder, **settings), made(encoder, mode="zero-shot", **settings)
    assert torch.equal(adapter(clips()), plain(clips()))
    assert not list(plain.parameters())
    labels = torch.arange(5) % 3
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=ap_clip.RECIPE.learning_rate)
    first = F.cross_entropy(adapter(clips()), labels)
    first.backward()
    optimizer.step()
    assert F.cross_entropy(adapter(clips()), labels) < first


def test_the_adapter_works_on_each_frame_alone(encoder: FrozenEncoder) -> None:
    method = made(encoder)
    assert method.adapter is not None
    torch.nn.init.normal_(method.adapter[2].weight)
    whole = method.frame_features(clips())
    torch.testing.assert_close(whole[2:3, 1:2], method.frame_features(Clips(clips().embeddings[2:3, 1:2])))


def test_any_number_of_frames_is_scored_and_their_order_does_not_matter(encoder: FrozenEncoder) -> None:
    method = made(encoder).eval()
    many = clips(num_frames=32)
    assert method(many).shape == (5, 3)
    torch.testing.assert_close(method(Clips(many.embeddings.flip(1))), method(many))


def test_scores_are_full_precision_under_autocast(encoder: FrozenEncoder) -> None:
    for similarity in ("maka", "mean"):
        method = made(encoder, mode="zero-shot", similarity=similarity)
        expected = method(clips())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(method(clips()), expected)


@pytest.mark.parametrize("row", ap_clip.ROWS)
def test_every_row_can_be_built_and_trains_what_it_says(row: str, encoder: FrozenEncoder, file: str) -> None:
    needs_file = ap_clip.ROWS[row]["strategy"] not in ap_clip.TEMPLATE_SETS
    overrides = [f"method.text_prompts={file}"] if needs_file else []
    found = resolve("ap_clip", row=row, overrides=overrides)
    method = build(found.config, encoder, CLASSES)
    assert method(clips()).shape == (5, 3)
    assert (found.recipe.optimizer == "none") == (not list(method.parameters()))
    if needs_file:
        with pytest.raises(SentencesNeeded, match="needs sentences about the classes"):
            resolve("ap_clip", row=row)


def test_the_recipe_is_the_papers() -> None:
    recipe = ap_clip.RECIPE
    assert (recipe.num_frames, recipe.num_test_clips, recipe.warmup_epochs) == (8, 2, 5)
    assert (recipe.optimizer, recipe.weight_decay, recipe.schedule) == ("adamw", 1e-3, "cosine")


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["method.text_prompts=x", "method.strategy=set"], "strategy set reads no sentences"),
        (["method.aspects=[body]"], "must be some of those of action-conditioned"),
        (["method.reduction=0"], "reduction \\(0\\) must be at least 1"),
        (["method.mode=text"], "none of adapter, zero-shot"),
        (["method.mode=fine-tune"], "none of adapter, zero-shot"),
        (["method.class_text=nonsense"], "nonsense"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(overrides: list[str], why: str) -> None:
    with pytest.raises(BadSetting, match=why):
        resolve("ap_clip", overrides=overrides)


def test_classes_and_aspects_that_the_file_lacks_are_named(encoder: FrozenEncoder, file: str) -> None:
    settings = {"text_prompts": file, "strategy": "action-conditioned"}
    with pytest.raises(ClassesWithoutSentences, match="Juggling"):
        made(encoder, names=("Archery", "Juggling"), **settings)
    with pytest.raises(UnknownAspects, match="weather"):
        made(encoder, aspects=("weather",), **settings)
    with pytest.raises(PromptsMissing, match="no-such-file"):
        made(encoder, **settings | {"text_prompts": "no-such-file"})


def test_names_of_which_a_sentence_is_cut_are_reported_once_as_they_were_given(
    encoder: FrozenEncoder,
) -> None:
    long_name = "_".join(["Very"] * 80)
    assert made(encoder, names=["Archery", long_name]).truncated == (long_name,)


def test_no_class_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="no sentence"):
        build(Config(), encoder, ())


def test_where_the_strategy_is_left_open_sentences_are_read_if_there_are_any(file: str) -> None:
    assert Config().chosen_strategy == "set"
    assert Config(text_prompts=file).chosen_strategy == "action-conditioned"


def test_a_frame_s_best_sentences_are_those_of_the_largest_cosines(encoder: FrozenEncoder, file: str) -> None:
    method = made(encoder, text_prompts=file, mode="zero-shot")
    clip = Clips(clips().embeddings[:1])
    found = method.frame_matches(clip, 1, 5)
    texts = [one.text for one in method.sentences[1]]
    cosines = F.normalize(clip.embeddings[0], dim=-1) @ encoded(encoder, texts).T
    assert [len(best) for best in found] == [5] * 4
    for best, row in zip(found, cosines, strict=True):
        order = row.argsort(descending=True)[:5].tolist()
        assert [match.text for match in best] == [texts[place] for place in order]
        assert [match.cosine for match in best] == pytest.approx(row[order].tolist(), abs=1e-5)
        assert [match.attribute for match in best] == [
            method.sentences[1][place].attribute for place in order
        ]
    assert {len(best) for best in method.frame_matches(clip, 1, 99)} == {13}
    with pytest.raises(ValueError, match="5 clips, not one"):
        method.frame_matches(clips(), 1, 5)
