"""One training on disk: what was asked, what happened, what was learnt, what was measured with it.

    run = RunDirectory.create(Path("runs/ucf101-ju2022-A5-seed0"), config)
    run.append_metrics({"epoch": 1, "step": 8, "loss": 1.3})
    run.write_weights(tensors, {"method": "ju2022"})
    run.write_summary({"seconds": 31.0})     # the last file: with it the run is finished

A run may come from elsewhere and is data, nothing else: YAML is read by the safe loader, tensors are
safetensors, sizes are limited, names of results cannot leave the folder.
"""

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from vlp.stores import storage
from vlp.stores.errors import RunDamaged, RunMismatch, RunMissing, RunUnfinished, StoreUnwritable
from vlp.stores.fingerprint import differences
from vlp.stores.locks import UnitLock
from vlp.stores.plain_yaml import dump_plain, load_plain
from vlp.stores.tensor_files import Tensors, read_tensors, write_tensors

CONFIG, ENV, METRICS, SUMMARY = "config.yaml", "env.json", "metrics.jsonl", "summary.json"
TRAINING_VIDEOS = "training_videos.json"
STATE, WEIGHTS = "checkpoint/state.safetensors", "checkpoint/weights.safetensors"
NOT_COMPARED = ("places",)
"""Members of a config that say where things lie, not what the run is."""
_LIMIT_BYTES = 256 << 20
_CONFIG_LIMIT_BYTES = 4 << 20
_RESULT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


class RunDirectory:
    """The folder of one run; `create` and `open` make one.

    Attributes:
        path: the folder.
        name: its last part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._writer = f"run-{secrets.token_hex(4)}"
        self._asked: dict[str, Any] | None = None

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> Self:
        """Begin a run, or go on with one of equal settings; one that has learnt nothing yet may change them.

        Args:
            path: its folder.
            config: every resolved setting, as plain data; `NOT_COMPARED` members may differ.

        Raises:
            RunMismatch: if a run of other settings is there, naming the differences.
            RunDamaged: if its settings cannot be read.
            PartLocked: if another process creates it at this moment.
            StoreFull, StoreUnwritable: from the disk; also if something that is no run is there.
        """
        run = cls(path)
        if not (path / CONFIG).exists():
            if path.exists() and not (path.is_dir() and all(map(_begun, storage.list_names(path, ".")))):
                raise StoreUnwritable(path, "something that is no run is there")
            with UnitLock(path, "create"):
                if not (path / CONFIG).exists():  # another process may have been quicker
                    run._write(CONFIG, dump_plain(config))
        asked = _compared(config)
        found = differences(_compared(run.config()), asked)
        if found and run.has_begun:
            raise RunMismatch(path, found)
        if found:
            with run.lock():
                run._write(CONFIG, dump_plain(config))
        run._asked = asked
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a run.

        Raises:
            RunMissing: naming the runs beside it.
        """
        if not (path / CONFIG).is_file():
            raise RunMissing(path, [run.name for run in find_runs(path.parent)])
        return cls(path)

    @property
    def is_finished(self) -> bool:
        """Tell whether the training has ended."""
        return (self.path / SUMMARY).is_file()

    @property
    def has_begun(self) -> bool:
        """Tell whether there is anything that a training with other settings would lose."""
        return any((self.path / name).exists() for name in (METRICS, STATE, WEIGHTS, SUMMARY))

    def lock(self) -> UnitLock:
        """Hold the run as its only writer; what a killed one left half written is removed.

        Raises:
            PartLocked: naming the process that trains it.
            RunMismatch: if another process has changed its settings since `create`.
        """
        lock = UnitLock(self.path, "training")
        if self._asked is not None and (found := differences(_compared(self.config()), self._asked)):
            lock.release()
            raise RunMismatch(self.path, found)
        for folder in (".", "checkpoint"):
            for name in storage.list_names(self.path, folder):
                if name.endswith(storage.PARTIAL):
                    storage.remove(self.path, f"{folder}/{name}")
        if self.is_finished:
            self._remove_state()
        return lock

    def config(self) -> dict[str, Any]:
        """Read what was asked.

        Raises:
            RunDamaged: if it is no mapping of plain data in YAML.
        """
        text = self._text(CONFIG, limit=_CONFIG_LIMIT_BYTES)
        try:
            plain = load_plain(text)
        except ValueError as error:
            raise RunDamaged(self.path / CONFIG, str(error)) from error
        return self._mapping(CONFIG, plain)

    def env(self) -> dict[str, Any]:
        """Read on what it ran; empty before the training began."""
        return self._json(ENV) if (self.path / ENV).is_file() else {}

    def training_videos(self) -> dict[str, str]:
        """Read which videos it was trained on: id to the SHA-256 of the file; empty before the training began.

        Raises:
            RunDamaged: if it is no JSON object of texts.
        """
        if not (self.path / TRAINING_VIDEOS).is_file():
            return {}
        held = self._json(TRAINING_VIDEOS)
        if not all(isinstance(digest, str) for digest in held.values()):
            raise RunDamaged(self.path / TRAINING_VIDEOS, "its values are no hashes")
        return held

    def write_training_videos(self, sha256_of: Mapping[str, str]) -> None:
        """Write which videos it is trained on."""
        self._write_json(TRAINING_VIDEOS, sha256_of)

    def write_env(self, env: Mapping[str, Any]) -> None:
        """Write on what it runs."""
        self._write_json(ENV, env)

    def metrics(self) -> list[dict[str, Any]]:
        """Read the rows of metrics, one an epoch.

        Raises:
            RunDamaged: if a line is no JSON object.
        """
        if not (self.path / METRICS).is_file():
            return []
        return [self._parsed(METRICS, line) for line in self._text(METRICS).splitlines()]

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a row; it is on the disk when this returns, and never in part."""
        self._write_metrics([*self.metrics(), dict(row)])

    def drop_metrics_after(self, step: int) -> None:
        """Forget the rows of steps that the checkpoint to go on from has not seen.

        Raises:
            RunDamaged: if a row has no step.
        """
        rows = self.metrics()
        if not all(isinstance(row.get("step"), int) for row in rows):
            raise RunDamaged(self.path / METRICS, "a line of it has no step")
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            self._write_metrics(kept)

    def write_state(self, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Write what a resume needs, in one step: the checkpoint is the old one or the new one."""
        write_tensors(self.path, STATE, tensors, facts, writer=self._writer)

    @property
    def has_state(self) -> bool:
        """Tell whether there is a checkpoint to go on from."""
        return (self.path / STATE).is_file()

    def read_state(self) -> tuple[Tensors, dict[str, Any]] | None:
        """Read what a resume needs; None before the first checkpoint.

        Raises:
            RunDamaged: if it is no safetensors file of ours.
        """
        return read_tensors(self.path, STATE) if self.has_state else None

    def write_weights(self, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Write what was learnt, and what it belongs to."""
        write_tensors(self.path, WEIGHTS, tensors, facts, writer=self._writer)

    def read_weights(self) -> tuple[Tensors, dict[str, Any]]:
        """Read what was learnt.

        Raises:
            RunUnfinished: if the training has not ended.
            RunDamaged: if it is no safetensors file of ours.
        """
        if not (self.path / WEIGHTS).exists():
            raise RunUnfinished(self.path)
        return read_tensors(self.path, WEIGHTS)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Finish the run; what only a resume needed is removed."""
        self._write_json(SUMMARY, summary)
        self._remove_state()

    def summary(self) -> dict[str, Any] | None:
        """Read how the training ended; None while it has not."""
        return self._json(SUMMARY) if self.is_finished else None

    def write_result(self, name: str, result: Mapping[str, Any]) -> None:
        """Keep what was measured with the run, as ``results/NAME.json``.

        Raises:
            ValueError: if the name is no file name of letters, digits, dots and dashes.
        """
        if not _RESULT.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a result")
        storage.make_folder(self.path, "results")
        self._write_json(f"results/{name}.json", result)

    def results(self) -> dict[str, dict[str, Any]]:
        """Read all that was measured with the run, by name, sorted.

        Raises:
            RunDamaged: naming a file that is no JSON object.
        """
        names = [f"results/{name}" for name in storage.list_names(self.path, "results")]
        return {Path(name).stem: self._json(name) for name in names if name.endswith(".json")}

    def _remove_state(self) -> None:
        if self.has_state:
            storage.remove(self.path, STATE)

    def _write_metrics(self, rows: list[dict[str, Any]]) -> None:
        self._write(METRICS, "".join(json.dumps(row) + "\n" for row in rows))

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self._write(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def _write(self, name: str, text: str) -> None:
        storage.write_file(self.path, name, text.encode(), writer=self._writer)

    def _json(self, name: str) -> dict[str, Any]:
        return self._parsed(name, self._text(name))

    def _parsed(self, name: str, text: str) -> dict[str, Any]:
        try:
            return self._mapping(name, json.loads(text))
        except (ValueError, RecursionError) as error:
            raise RunDamaged(self.path / name, "it is no JSON") from error

    def _text(self, name: str, *, limit: int = _LIMIT_BYTES) -> str:
        try:
            return storage.read_bytes(self.path, name, limit=limit).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise RunDamaged(self.path / name, f"it cannot be read ({error})") from error

    def _mapping(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise RunDamaged(self.path / name, "it holds no mapping")
        return value


def find_runs(folder: Path) -> list[RunDirectory]:
    """List the runs in a folder, by name."""
    return [
        RunDirectory(folder / name)
        for name in storage.list_names(folder, ".")
        if (folder / name / CONFIG).is_file()
    ]


def _begun(name: str) -> bool:
    """Tell whether a file is what is left where a run was being created, and the process killed."""
    return name == "locks" or (name.startswith(CONFIG) and name.endswith(storage.PARTIAL))


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(config))
    return {name: value for name, value in plain.items() if name not in NOT_COMPARED}
