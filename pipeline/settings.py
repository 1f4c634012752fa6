"""A method with its resolved settings: its paper's values, then a row of the paper, a file, single values.

resolve("ju2022", row="A4", overrides=["recipe.num_epochs=20"])
"""

import importlib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from vlp.datasplits.errors import DatasetError
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.methods import METHODS
from vlp.pipeline.recipe import Recipe

_FILE_LIMIT_BYTES = 1 << 20
_PARTS = ("method", "recipe")


class UnknownMethod(PipelineError):
    """No method of this name."""

    def __init__(self, method: str, known: Sequence[str]) -> None:
        super().__init__(f"no method is called {method!r}. Known: {', '.join(known)}.")
        self.method = method
        self.known = tuple(known)


class UnknownRow(PipelineError):
    """The method's paper has no such row here."""

    def __init__(self, method: str, row: str, known: Sequence[str]) -> None:
        super().__init__(f"{method} has no row {row!r}. Known: {', '.join(known) or 'none'}.")
        self.method = method
        self.row = row
        self.known = tuple(known)


class UnknownSetting(PipelineError):
    """A setting that neither the method nor the recipe has."""

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(f"no setting is called {key!r}. Known: {', '.join(known)}.")
        self.key = key
        self.known = tuple(known)


class BadSetting(PipelineError):
    """A value that the setting cannot have."""

    def __init__(self, key: str, value: object, why: str) -> None:
        given = f"{key} settings" if isinstance(value, Mapping) else f"{key}={value!r}"
        super().__init__(f"{given} cannot be: {why}.")
        self.key = key
        self.value = value
        self.why = why


class TextPromptsUnread(PipelineError):
    """Sentences for a method that reads none."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} reads no sentences about the classes: text prompts cannot change it.")
        self.method = method


class SettingsUnreadable(PipelineError):
    """A settings file that is missing, damaged, or no mapping."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"cannot read settings from {path}: {why}.")
        self.path = path
        self.why = why


@dataclass(frozen=True)
class MethodSettings:
    """What a method is built and trained with.

    Attributes:
        method: its name in `METHODS`.
        config: the method's own `Config`.
        recipe: how it is trained and tested.
    """

    method: str
    config: Any
    recipe: Recipe

    @property
    def module(self) -> ModuleType:
        """The method's file."""
        return method_module(self.method)


def method_module(name: str) -> ModuleType:
    """Import the file of a method.

    Raises:
        UnknownMethod: naming the known ones.
    """
    if name not in METHODS:
        raise UnknownMethod(name, sorted(METHODS))
    return importlib.import_module(METHODS[name])


def resolve(
    method: str,
    *,
    row: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    text_prompts: str | None = None,
) -> MethodSettings:
    """Resolve the settings of a method: overrides win over the file, the file over the row, the row over the paper.

    Args:
        method: one of `METHODS`.
        row: one of the method's `ROWS`, whose members are fields of the method, or ``recipe.FIELD``.
        file: YAML with the mappings ``method`` and ``recipe``; either may be left out.
        overrides: ``method.FIELD=VALUE`` or ``recipe.FIELD=VALUE``, the value in YAML.
        text_prompts: wins over all other values of that field.

    Raises:
        UnknownMethod, UnknownRow, UnknownSetting, BadSetting, SettingsUnreadable, TextPromptsUnread: as these say.
    """
    module = method_module(method)
    values: dict[str, dict[str, Any]] = {"method": {}, "recipe": {}}
    for name, value in _row(module, method, row).items():
        part, _, field = name.rpartition(".")
        values[part or "method"][field] = value
    for part, given in (_read(file) if file else {}).items():
        values[part].update(given)
    for override in overrides:
        part, name, value = _parse(override)
        values[part][name] = value
    if text_prompts is not None:
        _check_reads_sentences(method, module)
        values["method"]["text_prompts"] = text_prompts
    return _build(method, module, values)


def with_text_prompts(settings: MethodSettings, text_prompts: str) -> MethodSettings:
    """Let a method read other sentences.

    Raises:
        TextPromptsUnread: if it reads none.
        BadSetting: if its other settings have no use for them.
    """
    _check_reads_sentences(settings.method, settings.module)
    saved = to_json(settings)
    return from_json({**saved, "config": {**saved["config"], "text_prompts": text_prompts}})


def to_json(settings: MethodSettings) -> dict[str, Any]:
    """Return plain data that `from_json` reads back."""
    return {"name": settings.method, "config": asdict(settings.config), "recipe": asdict(settings.recipe)}


def from_json(saved: Mapping[str, Any]) -> MethodSettings:
    """Read what `to_json` gave, as untrusted as a settings file.

    Raises:
        UnknownMethod, UnknownSetting, BadSetting: as these say.
    """
    name = str(saved.get("name"))
    module = method_module(name)
    parts = {"method": saved.get("config"), "recipe": saved.get("recipe")}
    for part, given in parts.items():
        if not isinstance(given, Mapping):
            raise BadSetting(part, given, "it is no mapping")
    return _build(name, module, typing.cast(dict[str, dict[str, Any]], parts))


def _check_reads_sentences(method: str, module: ModuleType) -> None:
    if "text_prompts" not in {field.name for field in fields(module.Config)}:
        raise TextPromptsUnread(method)


def _row(module: ModuleType, method: str, row: str | None) -> Mapping[str, Any]:
    rows: Mapping[str, Mapping[str, Any]] = getattr(module, "ROWS", {})
    if row is None:
        return {}
    if row not in rows:
        raise UnknownRow(method, row, sorted(rows))
    return rows[row]


def read_yaml(file: Path) -> Any:
    """Read plain data from a file that may hold anything.

    Raises:
        SettingsUnreadable: if it is missing, too large, or no YAML of plain data.
    """
    try:
        if file.stat().st_size > _FILE_LIMIT_BYTES:
            raise SettingsUnreadable(file, f"it has more than {_FILE_LIMIT_BYTES:,} bytes")
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsUnreadable(file, error.strerror or str(error)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as 2001-13-45, which is no date
        raise SettingsUnreadable(file, "it is no YAML") from error


def _read(file: Path) -> dict[str, dict[str, Any]]:
    held = read_yaml(file)
    if not isinstance(held, dict) or not all(isinstance(part, dict) for part in held.values()):
        raise SettingsUnreadable(file, "it holds no mappings `method` and `recipe`")
    for part in held:
        if part not in _PARTS:
            raise UnknownSetting(str(part), _PARTS)
    return held


def _parse(override: str) -> tuple[str, str, Any]:
    key, equals, text = override.partition("=")
    part, dot, name = key.strip().partition(".")
    if not equals or not dot or part not in _PARTS:
        raise BadSetting("--set", override, "it is not method.FIELD=VALUE or recipe.FIELD=VALUE")
    try:
        return part, name, yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # such as 2001-13-45, which is no date
        raise BadSetting(key, text[:100], "the value is no YAML") from None


def _build(method: str, module: ModuleType, values: Mapping[str, Mapping[str, Any]]) -> MethodSettings:
    recipe = asdict(module.RECIPE) | dict(values["recipe"])
    return MethodSettings(
        method, _filled("method", module.Config, values["method"]), _filled("recipe", Recipe, recipe)
    )


def _filled(part: str, kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Make a dataclass from untrusted values, each checked against its field's type."""
    types_of = typing.get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise UnknownSetting(f"{part}.{name}", [f"{part}.{field}" for field in known])
    checked = {name: _checked(f"{part}.{name}", value, types_of[name]) for name, value in values.items()}
    try:
        return kind(**checked)
    except (ValueError, DatasetError) as error:
        raise BadSetting(part, dict(values), str(error).rstrip(".")) from error


def _checked(key: str, value: Any, kind: Any) -> Any:
    """Give a value the type of its field, or refuse it."""
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        return _checked(key, value, next(choice for choice in choices if choice is not type(None)))
    if origin is typing.Literal:
        if value not in choices:
            raise BadSetting(key, value, f"it is none of {', '.join(map(str, choices))}")
        return value
    if origin is tuple:
        return _checked_tuple(key, value, choices)
    if kind is float and isinstance(value, str):
        value = _number(value)  # YAML reads 1e-4, without a dot, as text
    if isinstance(value, int) and not isinstance(value, bool) and kind is float:
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadSetting(key, value, f"it is no {kind.__name__}")
    return value


def _checked_tuple(key: str, value: Any, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise BadSetting(key, value, "it is no list")
    if len(choices) == 2 and choices[1] is Ellipsis:
        return tuple(_checked(key, item, choices[0]) for item in value)
    if len(value) != len(choices):
        raise BadSetting(key, value, f"it has {len(value)} items, not {len(choices)}")
    return tuple(_checked(key, item, choice) for item, choice in zip(value, choices, strict=True))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
