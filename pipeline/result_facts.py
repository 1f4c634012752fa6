"""What a saved result measured and how, in the words of published rows. Imports no torch.

A result is JSON that may have been edited, cut short or made by another version: a member that is not as expected
counts as not recorded.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlp.datasplits.published_rows import METRICS
from vlp.datasplits.templates import TEMPLATE_SETS
from vlp.pipeline.report.figures import number
from vlp.pipeline.report.reading import looked_up

OVER_SPLITS = "standard deviation over splits, or sets of classes"
OVER_TRIALS = "half of the 95% interval over trials"
_MOST_CHARACTERS = 80
_MOST = 10**12
_SEGMENT_CENTRES = re.compile(r"(\d{1,9}) segment centres")


class NoResult(ValueError):
    """Data that no protocol of `vlp eval` reports."""


@dataclass(frozen=True)
class Measured:
    """A number of ours.

    Attributes:
        value: a fraction, or a rank.
        spread: in the same unit; None for a single measurement.
        spread_kind: what it is: `OVER_SPLITS` or `OVER_TRIALS`.
    """

    value: float
    spread: float | None = None
    spread_kind: str | None = None


@dataclass(frozen=True)
class ResultFacts:
    """A result as it is compared.

    Attributes:
        protocol, dataset: as the result names them.
        method: its name; None where it is not recorded.
        measured: by the names of `published_rows.METRICS`.
        settings: by the names of `published_rows.SETTINGS`, those that are recorded.
        config: of the method.
        recipe: how it was trained and tested; empty where that is not recorded.
        remarks: what makes the numbers other than they seem, in words.
    """

    protocol: str
    dataset: str
    method: str | None
    measured: Mapping[str, Measured]
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    remarks: tuple[str, ...]


def facts_of(result: Mapping[str, Any]) -> ResultFacts:
    """Read a result, as `vlp eval … --json` prints it.

    Raises:
        NoResult: if it names no protocol or data set, or holds no number of one method.
    """
    protocol, dataset = _text(result.get("protocol")), _text(result.get("dataset"))
    if protocol is None or dataset is None:
        raise NoResult("it names no protocol and no data set")
    if protocol == "methods":
        raise NoResult("it is a table of methods, and what is compared is a result of one")
    measured = _measured(result)
    if not measured:
        raise NoResult("it holds no number that a paper prints")
    config, recipe = (_plain(looked_up(result, "settings", part)) for part in ("config", "recipe"))
    return ResultFacts(
        protocol=protocol,
        dataset=dataset,
        method=_text(result.get("method")),
        measured=measured,
        settings=_settings(result, protocol, config, recipe),
        config=config,
        recipe=recipe,
        remarks=tuple(_remarks(result)),
    )


def _measured(result: Mapping[str, Any]) -> dict[str, Measured]:
    """Find the numbers: at the top, or, of retrieval, by split."""
    kinds = {"_interval": OVER_TRIALS, "_std": OVER_SPLITS}
    found = {}
    for name in METRICS:
        value = _value(result, name)
        if value is None:
            continue
        spreads = ((number(result.get(name + end)), kind) for end, kind in kinds.items())
        spread, kind = next((pair for pair in spreads if pair[0] is not None), (None, None))
        found[name] = Measured(value, spread, kind)
    queries = [looked_up(split, "text_to_video") for split in _mappings(result.get("splits"))]
    for name in METRICS:
        values = [_value(split, name) for split in queries if isinstance(split, Mapping)]
        known = [value for value in values if value is not None]
        if known:
            found.setdefault(name, Measured(sum(known) / len(known)))
    return found


def _value(held: Mapping[str, Any], name: str) -> float | None:
    """Read a number that the measure can have: a fraction, or a rank."""
    value = number(held.get(name))
    most = 1.0 if METRICS[name] == "percent" else _MOST
    return value if value is not None and 0 <= value <= most else None


def _settings(
    result: Mapping[str, Any], protocol: str, config: Mapping[str, Any], recipe: Mapping[str, Any]
) -> dict[str, Any]:
    trained = _mapping(result.get("trained_on"))
    splits = _mappings(result.get("splits"))
    began_with = _text(looked_up(trained, "init_from", "run"))
    trials = result.get("trials")
    names = [_text(split.get("split")) for split in splits] or [_text(result.get("split"))]
    shots = _count(result.get("shots")) or _count(trained.get("shots"))
    found = {
        "model": _text(result.get("model")),
        "pretrained": _text(result.get("pretrained")),
        "image_tower": "frozen",  # features are encoded once, before anything is trained
        "text_tower": "tuned" if config.get("tune_text") is True else "frozen",
        **_frames(result, recipe),
        "num_crops": _count(result.get("num_views")),
        "templates": _templates(result),
        "class_text": _text(result.get("class_text")),
        "trained_on": _trained_on(result, trained) if protocol == "zero-shot" else None,
        "started_from": "nothing" if began_with is None else f"run {began_with}",
        "shots": "all" if protocol == "closed-set" and shots is None else shots,
        "ways": _ways(result) if protocol == "few-shot" else None,
        "num_trials": len(trials) if isinstance(trials, list) else None,
        "most_videos_a_class": _count(result.get("most_videos_a_class")) or "all",
        "splits": list(dict.fromkeys(name for name in names if name is not None)) or None,
        "num_classes": _count(result.get("num_classes")),
        "num_class_sets": len({_text(split.get("class_set")) for split in splits} - {None}) or None,
        "num_test_videos": _num_listed(result, splits),
    }
    return {name: value for name, value in found.items() if value is not None}


def _frames(result: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Say how many frames a clip and clips a video a test reads."""
    if recipe and recipe.get("sampling") != "whole":
        return {
            "num_frames": _count(recipe.get("num_frames")),
            "num_clips": _count(recipe.get("num_test_clips")),
        }
    words = _text(result.get("frames")) or ""
    centres = _SEGMENT_CENTRES.fullmatch(words)
    frames = int(centres[1]) if centres else words or None
    return {"num_frames": frames, "num_clips": None if frames is None else 1}


def _templates(result: Mapping[str, Any]) -> str | None:
    """Write one template as it is, several as their number and name."""
    source = _text(looked_up(result, "text_prompts", "source"))
    if source is not None:
        return f"sentences of {source}"
    name = _text(result.get("template_set"))
    if name is None:
        return None
    known = TEMPLATE_SETS.get(name, ())
    return known[0] if len(known) == 1 else f"{len(known) or 'unknown'} sentences ({name})"


def _trained_on(result: Mapping[str, Any], trained: Mapping[str, Any]) -> str | None:
    return _text(trained.get("dataset")) if result.get("run") is not None else "nothing"


def _ways(result: Mapping[str, Any]) -> int | str | None:
    """Give N of N-way trials; "all" where the whole test split was scored, which trials do not have."""
    return _count(result.get("ways")) if result.get("split") is None else "all"


def _num_listed(result: Mapping[str, Any], splits: Sequence[Mapping[str, Any]]) -> int | None:
    """How many test videos a split lists, where all splits list as many."""
    counts = {_count(split.get("num_expected")) for split in splits}
    if not splits and result.get("split") is not None:
        counts = {_count(result.get("num_expected"))}
    return counts.pop() if len(counts) == 1 else None


def _remarks(result: Mapping[str, Any]) -> list[str]:
    listed, found = _count(result.get("num_expected")), _count(result.get("num_found"))
    splits = _mappings(result.get("splits"))
    if listed is None and splits:  # of retrieval
        listed, found = (
            sum(_count(split.get(name)) or 0 for split in splits) for name in ("num_expected", "num_found")
        )
    lines = []
    if listed is not None and found is not None and found < listed:
        lines.append(f"{found:,} of {listed:,} videos were found; the others are not scored")
    mismatch = looked_up(result, "store", "mismatch")
    if isinstance(mismatch, list) and mismatch:
        lines.append(f"the features are another model's than the texts': {_text(mismatch[0]) or 'unknown'}")
    pairs = sum(len(held) for split in splits if isinstance(held := split.get("duplicates_allowed"), list))
    if pairs:
        lines.append(f"{pairs:,} tested files are in train too")
    chosen = _plain(result.get("dataset_options"))
    if chosen:
        lines.append(one_line(f"read with {', '.join(f'{name}={value}' for name, value in chosen.items())}"))
    return lines


def one_line(text: str) -> str:
    r"""Make a foreign text fit to be shown in a line: printable, and not long.

    Example:
        >>> one_line("ViT\x1b[2J\n B")
        'ViT[2J B'
    """
    printable = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
    return printable if len(printable) <= _MOST_CHARACTERS else f"{printable[:_MOST_CHARACTERS]}…"


def _text(value: object) -> str | None:
    return (one_line(value) or None) if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def _plain(value: object) -> dict[str, Any]:
    """Keep the settings that are plain values, or lists of such."""
    kinds = (str, int, float, type(None))  # a bool is an int
    return {
        name: held
        for name, held in _mapping(value).items()
        if isinstance(held, kinds) or (isinstance(held, list) and all(isinstance(one, kinds) for one in held))
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [held for held in value if isinstance(held, Mapping)] if isinstance(value, list) else []
