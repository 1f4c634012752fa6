"""A run on disk: what is written is read back, what is damaged or foreign is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores.errors import PartLocked, RunDamaged, RunMismatch, RunMissing, RunUnfinished, StoreUnwritable
from vlp.stores.runs import RunDirectory, find_runs

CONFIG: dict[str, Any] = {
    "dataset": "toy",
    "method": {"name": "ju2022", "config": {"gaps": (1, 2)}},
    "seed": 0,
}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "one", CONFIG)


def test_settings_are_read_back_as_plain_data(run: RunDirectory) -> None:
    assert RunDirectory.open(run.path).config() == json.loads(json.dumps(CONFIG))
    assert not run.is_finished
    assert run.summary() is None
    assert run.env() == {}
    assert run.metrics() == []
    assert run.results() == {}
    run.write_env({"python": "3.11"})
    assert run.env() == {"python": "3.11"}


def test_equal_settings_go_on_and_others_are_refused_with_the_differences(run: RunDirectory) -> None:
    run.append_metrics({"epoch": 1, "step": 8, "loss": 1.0})
    RunDirectory.create(run.path, {**CONFIG, "places": {"root": "elsewhere"}})
    with pytest.raises(RunMismatch, match="seed: 0 here, 1 asked") as caught:
        RunDirectory.create(run.path, {**CONFIG, "seed": 1})
    assert caught.value.differences == ("seed: 0 here, 1 asked",)
    assert run.config()["seed"] == 0


def test_a_run_that_has_learnt_nothing_yet_may_change_its_settings(run: RunDirectory) -> None:
    run.write_env({"python": "3.11"})  # what a training that fails at once leaves
    changed = RunDirectory.create(run.path, {**CONFIG, "seed": 1})
    assert changed.config()["seed"] == 1
    with pytest.raises(RunMismatch, match="seed: 1 here, 0 asked"):
        run.lock()  # it was created with another seed: its settings are no longer those on disk
    with changed.lock(), pytest.raises(PartLocked):
        RunDirectory.create(run.path, {**CONFIG, "seed": 2})
    for begin in (
        lambda: run.append_metrics({"step": 1}),
        lambda: run.write_state({"a": np.zeros(1)}, {}),
        lambda: run.write_weights({"a": np.zeros(1)}, {}),
        lambda: run.write_summary({}),
    ):
        begin()
        with pytest.raises(RunMismatch):
            RunDirectory.create(run.path, {**CONFIG, "seed": 2})
        for name in ("metrics.jsonl", "summary.json", "checkpoint"):
            path = run.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def test_long_differences_are_cut_short_in_the_message_only(run: RunDirectory) -> None:
    run.append_metrics({"step": 1})
    with pytest.raises(RunMismatch) as caught:
        RunDirectory.create(run.path, {**CONFIG, "class_names": ["x" * 50] * 100})
    assert len(str(caught.value)) < 500 + len(str(run.path))
    assert len(caught.value.differences[0]) > 5000


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path, run: RunDirectory) -> None:
    """A kill between writing aside and renaming leaves the file aside, a kill before that empty folders."""
    begun = tmp_path / "begun"
    (begun / "locks").mkdir(parents=True)
    (begun / "config.yaml.run-0a1b2c3d.partial").write_text("dataset: to")
    created = RunDirectory.create(begun, CONFIG)
    created.write_state({"a": np.zeros(1)}, {"step": 1})
    for name in ("metrics.jsonl.run-1.partial", "checkpoint/state.safetensors.run-1.partial"):
        (begun / name).write_bytes(b"half")
    with created.lock():
        created.write_state({"a": np.ones(1)}, {"step": 2})
        created.append_metrics({"step": 2})
    assert not list(begun.rglob("*.partial"))
    assert created.read_state() == ({"a": np.ones(1)}, {"step": 2})


def test_a_run_killed_just_after_its_summary_keeps_no_state(run: RunDirectory) -> None:
    run.write_summary({"loss": 0.5})
    run.write_state({"a": np.zeros(1)}, {})
    run.lock().release()
    assert not run.has_state
    assert run.summary() == {"loss": 0.5}


def test_tensors_and_facts_come_back_bit_for_bit(run: RunDirectory) -> None:
    tensors = {
        "a": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32).T,
        "step": np.array(7.0, dtype=np.float32),
        "labels": np.arange(5),
        "none": np.empty((0, 8), dtype=np.float32),
    }
    run.write_state(tensors, {"step": 7, "loss": 0.1 + 0.2})
    assert run.has_state
    found = run.read_state()
    assert found is not None
    assert found[1] == {"step": 7, "loss": 0.1 + 0.2}
    assert {name: (array.dtype, array.shape) for name, array in found[0].items()} == {
        name: (array.dtype, array.shape) for name, array in tensors.items()
    }
    assert all(np.array_equal(found[0][name], tensors[name]) for name in tensors)


def test_a_finished_run_keeps_weights_and_nothing_to_go_on_from(run: RunDirectory) -> None:
    with pytest.raises(RunUnfinished, match="has not been trained to its end"):
        run.read_weights()
    run.write_state({"a": np.zeros(1)}, {})
    run.write_weights({"a": np.ones(2)}, {"method": "ju2022"})
    run.write_summary({"loss": 0.5})
    assert run.is_finished
    assert run.summary() == {"loss": 0.5}
    assert not run.has_state
    assert run.read_state() is None
    assert run.read_weights()[1] == {"method": "ju2022"}


def test_rows_behind_the_checkpoint_are_forgotten(run: RunDirectory) -> None:
    rows = [{"epoch": epoch, "step": 8 * epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    for row in rows:
        run.append_metrics(row)
    assert run.metrics() == rows
    run.drop_metrics_after(16)
    assert run.metrics() == rows[:2]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 2


def test_results_are_kept_by_name(run: RunDirectory) -> None:
    run.write_result("closed-set-toy", {"top1": 0.5})
    run.write_result("a", {"é": 1})
    assert run.results() == {"a": {"é": 1}, "closed-set-toy": {"top1": 0.5}}
    for name in ("../out", "a/b", "", ".hidden", "x" * 200, "a b"):
        with pytest.raises(ValueError, match="no name of a result"):
            run.write_result(name, {})
    assert sorted(path.name for path in run.path.parent.iterdir()) == ["one"]


def test_runs_are_found_and_a_missing_one_names_them(run: RunDirectory) -> None:
    (run.path.parent / "no run").mkdir()
    assert [found.name for found in find_runs(run.path.parent)] == ["one"]
    with pytest.raises(RunMissing, match="Found: one"):
        RunDirectory.open(run.path.parent / "two")
    with pytest.raises(RunMissing, match="holds none"):
        RunDirectory.open(run.path / "deeper")


def test_what_is_no_run_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreUnwritable, match="no run is there"):
        RunDirectory.create(tmp_path, CONFIG)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable):
        RunDirectory.create(tmp_path / "file", CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis.tex"]


def test_a_second_writer_is_refused_and_the_first_named(run: RunDirectory) -> None:
    code = (
        "import sys, pathlib; from vlp.stores.runs import RunDirectory; "
        "lock = RunDirectory.open(pathlib.Path(sys.argv[1])).lock(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PartLocked, match=f"process {holder.pid} on"):
            run.lock()
        holder.communicate("", timeout=60)
    run.lock().release()


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("config.yaml", b"a: [", "config"),
        ("config.yaml", b"- 1", "config"),
        ("config.yaml", b"!!python/object/apply:os.system ['touch hacked']", "config"),
        ("config.yaml", b"\xff\xfe\x00", "config"),
        ("config.yaml", b"a: 2001-13-45", "config"),
        ("config.yaml", b"a: 2001-01-01", "config"),
        ("config.yaml", b"a: .nan", "config"),
        ("config.yaml", b"a: &a [1]\nb: [*a, *a]", "config"),
        ("config.yaml", b"a: " + b"[" * 50_000, "config"),
        ("config.yaml", b"#" * (5 << 20), "config"),
        ("env.json", b"{", "env"),
        ("env.json", b"[" * 100_000, "env"),
        ("summary.json", b"3", "summary"),
        ("metrics.jsonl", b'{"step": 1}\n{"ste', "metrics"),
        ("metrics.jsonl", b"7\n", "metrics"),
        ("results/x.json", b"nonsense", "results"),
        ("checkpoint/state.safetensors", b"", "read_state"),
        ("checkpoint/state.safetensors", b"\x80\x04\x95pickle", "read_state"),
        ("checkpoint/weights.safetensors", b"\xff" * 64, "read_weights"),
    ],
)
def test_damaged_files_are_refused_by_name(name: str, content: bytes, read: str, run: RunDirectory) -> None:
    (run.path / name).parent.mkdir(exist_ok=True)
    (run.path / name).write_bytes(content)
    with pytest.raises(RunDamaged) as caught:
        getattr(run, read)()
    assert caught.value.path == run.path / name
    assert not Path("hacked").exists()


def test_checkpoints_are_plain_files_inside_the_run(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory.create(tmp_path / "other", CONFIG)
    other.write_weights({"a": np.zeros(1)}, {})
    (run.path / "checkpoint").mkdir()
    weights = run.path / "checkpoint" / "weights.safetensors"
    weights.symlink_to(other.path / "checkpoint" / "weights.safetensors")
    with pytest.raises(RunDamaged, match="leads out"):
        run.read_weights()
    weights.unlink()
    os.mkfifo(weights)  # opening it would wait for a writer
    with pytest.raises(RunDamaged, match="no checkpoint of ours"):
        run.read_weights()


def test_rows_without_a_step_are_refused_when_a_training_goes_on(run: RunDirectory) -> None:
    (run.path / "metrics.jsonl").write_text('{"step": "many"}\n')
    with pytest.raises(RunDamaged, match="a line of it has no step"):
        run.drop_metrics_after(1)


def test_a_link_out_of_the_run_is_not_followed(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (run.path / "env.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(RunDamaged, match="leads out"):
        run.env()


def test_weights_of_foreign_making_are_refused(run: RunDirectory) -> None:
    from safetensors.numpy import save_file

    (run.path / "checkpoint").mkdir()
    for metadata in (None, {"vlp": "[1]"}, {"vlp": "{"}):
        save_file({"a": np.zeros(1)}, run.path / "checkpoint" / "weights.safetensors", metadata=metadata)
        with pytest.raises(RunDamaged, match="no checkpoint of ours"):
            run.read_weights()
