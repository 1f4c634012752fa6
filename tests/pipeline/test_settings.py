"""Where a method's settings come from, and what is refused."""

from pathlib import Path

import pytest

from vlp.pipeline.methods import METHODS
from vlp.pipeline.settings import (
    BadSetting,
    SettingsUnreadable,
    UnknownMethod,
    UnknownRow,
    UnknownSetting,
    from_json,
    method_module,
    resolve,
    to_json,
)


def test_without_a_word_the_papers_values_hold() -> None:
    settings = resolve("ju2022")
    module = method_module("ju2022")
    assert settings.config == module.Config()
    assert settings.recipe == module.RECIPE


def test_single_values_win_over_the_file_the_file_over_the_row(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("method:\n  num_layers: 3\n  temperature: 0.05\nrecipe:\n  num_epochs: 7\n")
    assert resolve("ju2022", row="A4").config.num_layers == 1
    from_file = resolve("ju2022", row="A4", file=file)
    assert (from_file.config.num_layers, from_file.config.temperature) == (3, 0.05)
    assert from_file.config.num_prefix == 16
    chosen = resolve("ju2022", row="A4", file=file, overrides=["method.num_layers=2", "recipe.num_epochs=9"])
    assert (chosen.config.num_layers, chosen.recipe.num_epochs) == (2, 9)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("recipe.learning_rate=1e-3", 1e-3),
        ("recipe.learning_rate=1", 1.0),
        ("recipe.gaps=[1, 2]", (1, 2)),
        ("recipe.betas=[0.5, 0.9]", (0.5, 0.9)),
        ("recipe.clip_norm=null", None),
        ("recipe.clip_norm=2", 2.0),
        ("recipe.tower_learning_rate=1e-6", 1e-6),
        ("recipe.schedule=cosine", "cosine"),
    ],
)
def test_values_take_the_type_of_their_field(override: str, value: object) -> None:
    name = override.partition("=")[0].removeprefix("recipe.")
    found = getattr(resolve("ju2022", overrides=[override]).recipe, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("method", METHODS)
def test_saved_settings_read_back_as_they_were(method: str) -> None:
    import json

    settings = resolve(method)
    assert from_json(json.loads(json.dumps(to_json(settings)))) == settings


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownMethod, match=r"Known: .*ju2022"):
        resolve("coop")
    with pytest.raises(UnknownRow, match="Known: A0, A1"):
        resolve("ju2022", row="Z9")
    with pytest.raises(UnknownRow, match="Known: none"):
        resolve("linear_probe", row="A1")
    with pytest.raises(UnknownSetting, match=r"method\.layers.*Known: .*method\.num_layers"):
        resolve("ju2022", overrides=["method.layers=2"])


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("method.num_layers=two", "is no int"),
        ("method.num_layers=true", "is no int"),
        ("method.num_layers=-1", "must not be negative"),
        ("method.class_text=nonsense", "nonsense"),
        ("recipe.schedule=zigzag", "none of constant, cosine"),
        ("recipe.gaps=3", "is no list"),
        ("recipe.betas=[0.9]", "1 items, not 2"),
        ("recipe.batch_size=0", "at least 1"),
        ("recipe.learning_rate=fast", "is no float"),
        ("recipe.learning_rate={", "no YAML"),
        ("recipe.tower_learning_rate=-1", r"tower_learning_rate \(-1.0\) must be at least 0"),
        ("num_layers=2", r"method\.FIELD=VALUE"),
        ("method.num_layers", r"method\.FIELD=VALUE"),
        ("stage.num_layers=2", r"method\.FIELD=VALUE"),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_reason(override: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why):
        resolve("ju2022", overrides=[override])


@pytest.mark.parametrize(
    ("content", "error", "why"),
    [
        (b"method: [", SettingsUnreadable, "no YAML"),
        (b"\xff\xfe\x00", SettingsUnreadable, "no YAML"),
        (b"- 1", SettingsUnreadable, "no mappings"),
        (b"method: 3", SettingsUnreadable, "no mappings"),
        (b"optimiser: {}", UnknownSetting, "Known: method, recipe"),
        (b"method: !!python/object/apply:os.system ['true']", SettingsUnreadable, "no YAML"),
    ],
)
def test_files_that_are_no_settings_are_refused(
    content: bytes, error: type[Exception], why: str, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    with pytest.raises(error, match=why):
        resolve("ju2022", file=file)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsUnreadable, match="No such file"):
        resolve("ju2022", file=tmp_path / "none.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(SettingsUnreadable, match="more than"):
        resolve("ju2022", file=tmp_path / "huge.yaml")


def test_saved_settings_are_not_trusted() -> None:
    with pytest.raises(UnknownMethod):
        from_json({"name": "os", "config": {}, "recipe": {}})
    with pytest.raises(BadSetting, match="no mapping"):
        from_json({"name": "ju2022", "config": 3, "recipe": {}})
    with pytest.raises(UnknownSetting):
        from_json({"name": "ju2022", "config": {"__class__": 1}, "recipe": {}})
