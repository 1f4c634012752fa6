"""What a run was, in a few words: how it was trained, where it came from, how it compares with others."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from vlp.pipeline.report.figures import UNKNOWN, Column, Table, measure, number, text
from vlp.pipeline.report.reading import RunFacts, looked_up
from vlp.stores.fingerprint import fingerprint

SEMANTICS = "prompt-semantics"


def state(facts: RunFacts) -> str:
    """Say whether the training has ended, or how far it is."""
    if facts.summary is not None:
        return "finished"
    asked = text(_recipe(facts, "num_epochs"))
    return f"not finished: {text(_num_epochs(facts))} of {asked} epochs"


def _num_epochs(facts: RunFacts) -> Any:
    return facts.metrics[-1].get("epoch") if facts.metrics else 0


def why_no_curves(facts: RunFacts) -> str:
    """Say why there is nothing to draw."""
    if _recipe(facts, "optimizer") == "none":
        return "This method takes no gradient step: there is nothing to draw."
    return "No epoch has ended yet."


def what_was_trained(facts: RunFacts) -> Iterator[tuple[str, str]]:
    """Give terms and values: method, data, encoder, how long."""
    config, summary = facts.config, facts.summary or {}
    names = looked_up(config, "class_names")
    shots = config.get("shots")
    yield "Method", text(looked_up(config, "method", "name"))
    yield "Dataset", text(config.get("dataset"))
    yield "Split", text(config.get("split"))
    yield "Shots a class", "all" if shots is None else text(shots)
    yield "Seed", text(config.get("seed"))
    yield "Training videos", text(config.get("num_videos"))
    yield "Classes", text(len(names) if isinstance(names, list) else None)
    yield "Encoder", f"{text(config.get('model'))}, {text(config.get('pretrained'))}"
    yield "Frames a clip", f"{text(_recipe(facts, 'num_frames'))}, {text(_recipe(facts, 'sampling'))}"
    yield "Trained parameters", text(summary.get("num_parameters"))
    yield "Operations added a clip", text(summary.get("flops_per_clip"))
    yield "Epochs", _epochs(facts, summary)
    yield "Held-out top-1", measure(summary, "held_out_top1")
    yield "Seconds", text(summary.get("seconds"))
    if config.get("init_from"):
        yield "Began from", text(looked_up(config, "init_from", "run"))
    if summary.get("truncated_classes"):
        yield "Names cut to fit", text(summary.get("truncated_classes"))


def _recipe(facts: RunFacts, setting: str) -> Any:
    return looked_up(facts.config, "method", "recipe", setting)


def _epochs(facts: RunFacts, summary: Mapping[str, Any]) -> str:
    best, done, asked = summary.get("best_epoch"), _num_epochs(facts), _recipe(facts, "num_epochs")
    shown = f"{text(done)} of {text(asked)}"
    return shown if best is None or best == done else f"{shown}, the best was {text(best)}"


def provenance(facts: RunFacts) -> Iterator[tuple[str, str]]:
    """Give terms and values: code, store, encoder, machine."""
    config, env = facts.config, facts.env
    features = config.get("features")
    yield "Code", f"vlp {text(looked_up(env, 'code', 'version'))}, {text(looked_up(env, 'code', 'commit'))}"
    yield "Store's fingerprint", fingerprint(features) if isinstance(features, dict) else UNKNOWN
    yield "Store", text(looked_up(config, "places", "store"))
    yield "Encoder's weights (SHA-256)", text(config.get("weights_sha256"))
    yield "Training videos (SHA-256 of their ids)", text(config.get("videos_sha256"))
    yield "Device", text(env.get("device"))
    yield "Torch, Python", f"{text(env.get('torch'))}, {text(env.get('python'))}"
    yield "Run", str(facts.path)


def documents(facts: RunFacts) -> Iterator[tuple[str, str]]:
    """Give the run's own files as text, by name."""
    if facts.config:
        yield "config.yaml", yaml.safe_dump(dict(facts.config), sort_keys=False, allow_unicode=True)
    for name, held in (("env.json", facts.env), ("summary.json", facts.summary)):
        if held:
            yield name, json.dumps(held, indent=2, ensure_ascii=False)


def _headline(result: Mapping[str, Any]) -> str | None:
    """The one number of a result by which runs are compared."""
    keys = (key for key in ("top1", "harmonic_mean") if number(result.get(key)) is not None)
    return next(keys, None)


def comparison(runs: Sequence[RunFacts]) -> Table:
    """Set several runs side by side."""
    scored = {name: _headline(result) for facts in runs for name, result in scored_results(facts).items()}
    headlines = {name: key for name, key in scored.items() if key is not None}
    columns = (
        Column("run", "name"),
        Column("method", "name"),
        *(Column(f"{name}: {key.replace('_', ' ')}", "number") for name, key in headlines.items()),
        Column("held-out top-1", "number"),
        Column("dataset", "name"),
        Column("split", "name"),
        Column("shots", "number"),
        Column("seed", "number"),
        Column("parameters", "number"),
        Column("state"),
    )
    rows = tuple(
        (
            facts.name,
            text(looked_up(facts.config, "method", "name")),
            *(measure(facts.results.get(name, {}), key) for name, key in headlines.items()),
            measure(facts.summary or {}, "held_out_top1"),
            text(facts.config.get("dataset")),
            text(facts.config.get("split")),
            "all" if facts.config.get("shots") is None else text(facts.config.get("shots")),
            text(facts.config.get("seed")),
            text(looked_up(facts.summary or {}, "num_parameters")),
            state(facts),
        )
        for facts in runs
    )
    return Table(columns, rows)


def scored_results(facts: RunFacts) -> dict[str, Mapping[str, Any]]:
    """Leave out what is no score: the tokens nearest to the prompts."""
    return {name: result for name, result in facts.results.items() if name != SEMANTICS}
