"""Results beside published numbers: which rows are chosen, what is said to differ, and what no result can break."""

import importlib
import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.published_numbers import published_numbers
from vlp.datasplits.published_rows import METRICS, SETTINGS, PublishedRow
from vlp.datasplits.templates import TEMPLATE_SETS
from vlp.pipeline.comparison import (
    EVERY_ROW,
    LABELS,
    NO_ROW,
    SAME_METHOD,
    SAME_SETTINGS,
    SAME_TASK,
    Comparison,
    compare,
)
from vlp.pipeline.methods import METHODS
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.result_facts import OVER_SPLITS, OVER_TRIALS, NoResult, facts_of
from vlp.pipeline.settings import resolve, to_json

PUBLISHED = published_numbers().rows
LATER = {"vilt_clip"}
"""Methods whose rows are published, and whose file is still to come."""


def result(**changed: Any) -> dict[str, Any]:
    """A closed-set result of row A5 on UCF101, as `vlp eval closed-set --method ju2022 --json` prints it."""
    split = {"num_expected": 3783, "num_found": 3783, "duplicates_allowed": []}
    found = {
        "protocol": "closed-set",
        "dataset": "ucf101",
        "method": "ju2022",
        "settings": to_json(resolve("ju2022", row="A5")),
        "model": "ViT-B-16",
        "pretrained": "openai",
        "frames": "5 clips of 16 frames (random-gap)",
        "num_views": 1,
        "store": {"mismatch": []},
        "class_text": "natural",
        "template_set": None,
        "num_classes": 101,
        "num_expected": 3783,
        "num_found": 3783,
        "top1": 0.9312,
        "top1_std": None,
        "top5": 0.989,
        "splits": [{"split": "split1", **split}],
        **changed,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def compared(every_row: bool = False, **changed: Any) -> Comparison:
    return compare(facts_of(result(**changed)), PUBLISHED, every_row=every_row)


def differing(comparison: Comparison, place: int = 0) -> list[str]:
    return [str(found) for found in comparison.rows[place].differing]


def not_stated(comparison: Comparison, place: int = 0) -> dict[str, str | None]:
    return {found.setting: found.ours for found in comparison.rows[place].not_stated}


def test_the_row_with_our_settings_stands_alone() -> None:
    found = compared()
    (row,) = found.rows
    assert (found.choice, row.row.printed, row.row.table) == (SAME_SETTINGS, "Ours (A5)", "2")
    assert row.differing == ()
    top1, top5 = row.figures
    assert (top1.ours, top1.spread, top1.published) == (pytest.approx(93.12), None, "93.6")
    assert (top5.ours, top5.unit, top5.published) == (pytest.approx(98.9), "percent", "99.0")
    assert not_stated(found) == {
        "class-name rule": "natural",
        "split": "split1",
        "recipe.num_epochs": "50",
    }


def test_with_other_settings_every_row_of_the_method_is_given_the_nearest_first() -> None:
    found = compared(
        dataset="kinetics400",
        num_classes=400,
        settings=to_json(resolve("ju2022", overrides=["method.num_prefix=12", "method.num_layers=4"])),
    )
    assert found.choice == SAME_METHOD
    assert found.rows[0].row.printed == "A7"
    assert differing(found) == ["method.num_prefix: 12 here, 16 in the paper"]
    assert {row.row.printed for row in found.rows} == {f"A{number}" for number in range(8)}
    lengths = [len(row.differing) for row in found.rows]
    assert lengths == sorted(lengths)


def test_without_a_row_of_the_method_others_of_the_task_are_given() -> None:
    probe = to_json(resolve("linear_probe"))
    found = compared(method="linear_probe", settings=probe, frames="all stored")
    assert found.choice == SAME_TASK
    assert {row.row.method for row in found.rows} == {"ju2022", "motion_prompts"}
    assert "method: linear_probe here, ju2022 in the paper" in differing(found)
    assert "recipe.optimizer: none here, adamw in the paper" in differing(found)
    assert "frames a clip: all stored here, 16 in the paper" in differing(found)
    assert not any("num_layers" in line for line in differing(found))  # settings of another method


def test_all_gives_every_row_of_the_task_and_no_row_is_said() -> None:
    every = compared(every_row=True)
    assert every.choice == EVERY_ROW
    assert {row.row.method for row in every.rows} == {"ju2022", "motion_prompts"}
    for every_row in (False, True):
        nothing = compared(every_row=every_row, dataset="weizmann")
        assert (nothing.choice, nothing.rows) == (NO_ROW, ())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "ViT-B-32"}, "encoder: ViT-B-32 here, ViT-B-16 in the paper"),
        ({"pretrained": "laion2b"}, "weights: laion2b here, openai in the paper"),
        ({"pretrained": None}, "weights: not recorded here, openai in the paper"),
        ({"num_views": 3}, "crops a clip: 3 here, 1 in the paper"),
        ({"num_classes": 50}, "classes: 50 here, 101 in the paper"),
        ({"trained_on": {"shots": 16}}, "training videos a class: 16 here, all in the paper"),
        (
            {"splits": [{"split": "split1", "num_expected": 1000}]},
            "test videos a split: 1,000 here, 3,783 in the paper",
        ),
    ],
)
def test_a_setting_that_differs_is_named(changed: dict[str, Any], said: str) -> None:
    assert differing(compared(**changed)) == [said]


def test_settings_of_training_are_compared_with_accumulated_batches_as_one() -> None:
    values = ["recipe.learning_rate=0.001", "recipe.batch_size=32", "recipe.accumulate=2"]
    found = compared(settings=to_json(resolve("ju2022", overrides=values)))
    assert differing(found) == ["recipe.learning_rate: 0.001 here, 0.0001 in the paper"]


def test_a_run_that_began_with_another_is_told_apart_only_where_it_did() -> None:
    assert "started from" not in not_stated(compared())
    found = compared(trained_on={"dataset": "ucf101", "init_from": {"run": "k400"}})
    assert not_stated(found)["started from"] == "run k400"


def test_what_makes_our_number_other_than_it_seems_is_remarked() -> None:
    split = {"split": "split1", "num_expected": 3783, "num_found": 3700, "duplicates_allowed": [["a", "b"]]}
    found = compared(num_found=3700, store={"mismatch": ["weights: a here"]}, splits=[split])
    assert found.facts.remarks == (
        "3,700 of 3,783 videos were found; the others are not scored",
        "the features are another model's than the texts': weights: a here",
        "1 tested files are in train too",
    )
    assert compared().facts.remarks == ()


def trials(**changed: Any) -> dict[str, Any]:
    """A few-shot result of row A3 on HMDB51."""
    own = {
        "protocol": "few-shot",
        "dataset": "hmdb51",
        "settings": to_json(resolve("ju2022", row="A3")),
        "top1": 0.55,
        "top1_interval": 0.0123,
        "top1_std": 0.03,
        "shots": 5,
        "ways": 51,
        "num_classes": 51,
        "split": "split1",
        "num_expected": 1530,
        "num_found": 1530,
        "trials": [{"seed": seed, "values": {"top1": 0.55}} for seed in range(10)],
    }
    return {name: value for name, value in {**result(), **own, **changed}.items() if name != "splits"}


def test_few_shot_is_compared_with_as_many_videos_and_classes() -> None:
    found = compare(facts_of(trials()), PUBLISHED)
    (row,) = found.rows
    assert (row.row.table, row.row.values["top1"], row.row.settings["ways"]) == ("4", "56.0", "all")
    assert row.differing == ()
    (figure,) = row.figures
    assert (figure.spread, figure.spread_kind) == (pytest.approx(1.23), OVER_TRIALS)
    among_five = compare(facts_of(trials(split=None, ways=5, num_classes=10)), PUBLISHED)
    assert [row.row.values["top1"] for row in among_five.rows] == ["85.3"]
    assert differing(among_five) == ["trials: 10 here, 200 in the paper"]
    two = compare(facts_of(trials(shots=2)), PUBLISHED)
    assert {row.row.settings["shots"] for row in two.rows} == {2}
    seven = compare(facts_of(trials(shots=7)), PUBLISHED)
    assert seven.choice == NO_ROW
    listed = compare(facts_of(trials(shots=None)), PUBLISHED)  # the lists of videos know how many
    assert {row.row.settings["shots"] for row in listed.rows} >= {5}
    assert "training videos a class: not recorded here, 5 in the paper" in differing(listed)


def test_trials_drawn_from_a_hundred_videos_a_class_are_told_from_those_of_all() -> None:
    own = {"dataset": "kinetics400", "split": None, "ways": 5, "num_classes": 24, "trials": [{}] * 200}
    assert differing(compare(facts_of(trials(**own, most_videos_a_class=100)), PUBLISHED)) == []
    said = "videos a class to draw from: all here, 100 in the paper"
    assert differing(compare(facts_of(trials(**own, most_videos_a_class=None)), PUBLISHED)) == [said]


def test_sets_of_classes_and_options_of_the_data_set_are_told() -> None:
    splits = [{"split": "default", "class_set": f"draw {number}"} for number in (1, 2, 3)]
    own = {"protocol": "zero-shot", "dataset": "kinetics600", "method": "zero_shot", "num_classes": 160}
    found = compared(**own, splits=splits, dataset_options={"compat": "true", "odd": {"a": 1}})
    assert (not_stated(found)["sets of classes"], not_stated(found)["split"]) == ("3", "default")
    assert found.facts.remarks == ("read with compat=true",)


def test_several_actions_a_video_are_compared_by_their_mean_precision() -> None:
    own = {
        "protocol": "multi-label",
        "dataset": "charades",
        "method": "actionclip",
        "top1": None,
        "top5": None,
    }
    found = compared(**own, mean_ap=0.2345, settings=to_json(resolve("actionclip")))
    (row,) = found.rows
    assert [(figure.metric, figure.ours, figure.published) for figure in row.figures] == [
        ("mean_ap", pytest.approx(23.45), "44.3")
    ]
    assert "image tower: frozen here, tuned in the paper" in differing(found)


def test_zero_shot_names_what_was_trained_on_and_the_template() -> None:
    split = {"split": "split1", "num_expected": 1530, "num_found": 1530}
    own: dict[str, Any] = {
        "protocol": "zero-shot",
        "dataset": "hmdb51",
        "method": "zero_shot",
        "num_classes": 51,
    }
    own |= {"splits": [split], "num_expected": 1530, "num_found": 1530}
    plain = compared(
        **own,
        settings=to_json(resolve("zero_shot")),
        template_set="human-action-b",
        frames="8 segment centres",
    )
    by_template = {row.row.printed: row for row in plain.rows}
    assert [str(found) for found in by_template["CLIP, hand-crafted B"].differing] == [
        "clips a video: 1 here, 4 in the paper",
        "crops a clip: 1 here, 3 in the paper",
    ]
    line = 'template: "a human action of {}." here, "human action of {}." in the paper'
    assert line in [str(found) for found in by_template["CLIP, hand-crafted A"].differing]
    run: dict[str, Any] = {"run": "runs/x", "trained_on": {"dataset": "ucf101"}}
    trained = compared(
        **{**own, "method": "motion_prompts"}, **run, settings=to_json(resolve("motion_prompts"))
    )
    assert "trained on: ucf101 here, kinetics400 in the paper" in [
        line for place in range(len(trained.rows)) for line in differing(trained, place)
    ]
    several = compared(**own, settings=to_json(resolve("zero_shot")), template_set="ensemble")
    assert not_stated(several)["template"] == "18 sentences (ensemble)"
    written = compared(**own, settings=to_json(resolve("zero_shot")), text_prompts={"source": "hmdb51"})
    assert not_stated(written)["template"] == "sentences of hmdb51"


def test_retrieval_is_compared_by_the_queries_that_are_texts() -> None:
    directions = {
        "text_to_video": {"recall_at_1": 0.3, "recall_at_5": 0.5, "recall_at_10": 0.6, "median_rank": 4.5},
        "video_to_text": {"recall_at_1": 0.9, "recall_at_5": 0.9, "recall_at_10": 0.9, "median_rank": 1.0},
    }
    found = result(
        protocol="retrieval",
        dataset="msrvtt",
        method="zero_shot",
        settings=None,
        template_set="none",
        splits=[{"split": "test", "num_expected": 1000, "num_found": 990, **directions}],
    )
    for name in ("top1", "top5", "num_expected", "num_found"):
        del found[name]
    facts = facts_of(found)
    assert facts.remarks == ("990 of 1,000 videos were found; the others are not scored",)
    (row,) = compare(facts, PUBLISHED).rows
    assert {figure.metric: (figure.ours, figure.published) for figure in row.figures} == {
        "recall_at_1": (30.0, "31.2"),
        "recall_at_5": (50.0, "53.7"),
        "recall_at_10": (60.0, "64.2"),
        "median_rank": (4.5, "4.0"),
    }


def test_a_measure_that_ours_lacks_stays_empty_and_deviations_are_those_over_splits() -> None:
    (row,) = compared(top5=None, top1_std=0.004).rows
    assert [(figure.ours is None, figure.spread) for figure in row.figures] == [
        (False, pytest.approx(0.4)),
        (True, None),
    ]
    assert row.figures[0].spread_kind == OVER_SPLITS


def test_the_json_keeps_both_numbers_apart() -> None:
    found = json.loads(json.dumps(compared().to_json()))
    (row,) = found["rows"]
    assert row["paper"]["reference"] == "arXiv:2112.04478"
    assert row["figures"][0]["published"] == "93.6"
    assert row["figures"][0]["ours"] == pytest.approx(93.12)
    assert {"setting": "split", "ours": "split1", "published": None} in row["not_stated"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = [*result(), "shots", "ways", "split", "trials", "trained_on", "run", "text_prompts"]


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=8), st.sampled_from(PUBLISHED))
def test_no_result_breaks_the_comparison(changed: dict[str, Any], row: PublishedRow) -> None:
    task = {"protocol": row.protocol, "dataset": row.dataset, "method": row.method}
    try:
        facts = facts_of({**result(), **task, **changed})
    except NoResult:
        return
    for found in compare(facts, PUBLISHED, every_row=True).rows:
        assert all(len(str(line)) < 500 for line in (*found.differing, *found.not_stated))


@given(
    st.dictionaries(st.sampled_from(["num_prefix", "num_layers", "gaps"]), JSON),
    st.dictionaries(st.text(), JSON),
)
def test_no_settings_break_the_comparison(config: dict[str, Any], recipe: dict[str, Any]) -> None:
    settings = to_json(resolve("ju2022", row="A5"))
    settings = {
        **settings,
        "config": {**settings["config"], **config},
        "recipe": {**settings["recipe"], **recipe},
    }
    assert compare(facts_of({**result(), "settings": settings}), PUBLISHED).rows


def test_a_recipe_that_is_not_recorded_is_not_taken_for_none() -> None:
    settings = {**result()["settings"], "recipe": None}
    assert "recipe.optimizer: not recorded here, adamw in the paper" in differing(compared(settings=settings))


def test_a_huge_batch_is_no_number() -> None:
    settings = result()["settings"]
    settings["recipe"] |= {"batch_size": 1e308, "accumulate": 1e308}
    assert "recipe.batch_size: not recorded here, 64 in the paper" in differing(compared(settings=settings))


def test_every_setting_has_a_name_in_words() -> None:
    assert LABELS.keys() == SETTINGS.keys()


def test_every_method_of_a_published_row_is_one_of_ours_or_to_come() -> None:
    assert {row.method for row in PUBLISHED if row.method} - METHODS.keys() <= LATER


@pytest.mark.parametrize("method", sorted({row.method for row in PUBLISHED if row.method} & METHODS.keys()))
def test_rows_speak_of_settings_that_the_method_has_with_the_values_of_its_row(method: str) -> None:
    module = importlib.import_module(METHODS[method])
    known = {field.name for field in fields(module.Config)}
    for row in (found for found in PUBLISHED if found.method == method):
        assert row.config.keys() <= known, row.place
        assert row.recipe.keys() <= {field.name for field in fields(Recipe)}, row.place
        if row.row is not None:
            ours = {**{field.name: field.default for field in fields(module.Config)}, **module.ROWS[row.row]}
            assert {name: ours[name] for name in row.config} == row.config, row.place


def test_templates_of_one_sentence_are_sets_of_ours() -> None:
    ours = {sentences[0] for sentences in TEMPLATE_SETS.values() if len(sentences) == 1}
    stated = {row.settings["templates"] for row in PUBLISHED if "{}" in row.settings.get("templates", "")}
    assert stated <= ours


def test_measures_are_named_as_results_name_them() -> None:
    from vlp.pipeline.results import SUMMARISED
    from vlp.pipeline.tasks.multilabel import SplitPrecision
    from vlp.pipeline.tasks.retrieval import RECALLS

    assert {*SUMMARISED} - {"mean_class"} <= METRICS.keys()
    assert {f"recall_at_{k}" for k in RECALLS} <= METRICS.keys()
    assert {field.name for field in fields(SplitPrecision)} & METRICS.keys() == {"mean_ap"}


def test_comparing_needs_no_torch() -> None:
    script = (
        "import sys, vlp.pipeline.comparison, vlp.pipeline.result_files; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
