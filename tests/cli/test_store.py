"""`vlp store`: what it prints, and its exit statuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from vlp.cli.store import app
from vlp.stores.errors import FeaturesMissing, StoreAmbiguous, StoreMissing
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore, store_path


def make_video(video_id: str, num_rows: int, status: str = "ok") -> ExtractedVideo:
    return ExtractedVideo(
        video_id=video_id,
        features=np.random.default_rng(num_rows).standard_normal((num_rows, 1, 8)).astype(np.float16),
        pts_seconds=np.arange(num_rows) / 25,
        frame_index=np.arange(num_rows, dtype=np.int32),
        num_expected=num_rows,
        num_decoded=num_rows,
        native_fps=25.0,
        duration_seconds=num_rows / 25,
        status=status,
        reason="truncated" if status == "short" else None,
        decoder="pyav",
        source_sha256="0" * 64,
    )


def make_store(cache: Path, dataset: str, size: int = 224) -> FeatureStore:
    names = {"dataset": dataset, "model": "ViT-B-16", "pretrained": "openai"}
    path = store_path(cache, **names, fingerprint=f"{size}".zfill(64)[::-1])
    return FeatureStore.open_or_create(
        path,
        meaning={"size": size},
        **names,
        num_views=1,
        embed_dim=8,
        batch_size=32,
        precision="fp32",
        tool_versions={"numpy": np.__version__},
    )


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    made = make_store(tmp_path, "ucf101")
    with made.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("a", 10))
        writer.add(make_video("b", 20, "short"))
        writer.fail(FailedVideo("c", "missing", "no such file", 1))
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments: object, status: int = 0) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def damage(store: FeatureStore, row: int) -> None:
    (shard,) = store.path.glob("segments/part-*/features/c/0/0/0")
    data = bytearray(shard.read_bytes())
    data[16 * row] ^= 4
    shard.write_bytes(data)


def test_ls_lists_every_store_also_one_that_cannot_be_read(tmp_path: Path, store: FeatureStore) -> None:
    broken = make_store(tmp_path, "hmdb51")
    (broken.path / "zarr.json").write_text("{")
    found = {row["path"]: row for row in run_json("ls", "--cache", tmp_path)["stores"]}
    row = found[str(store.path)]
    assert (row["dataset"], row["model"], row["pretrained"]) == ("ucf101", "ViT-B-16", "openai")
    assert (row["videos"], row["frames"], row["short"], row["failed"]) == (2, 30, 1, 1)
    assert row["status"] == "1 short, 1 failed"
    assert row["fingerprint"] == store.fingerprint[:12]
    files = [path for path in (store.path / "segments").rglob("*") if path.is_file()]
    assert row["bytes"] == sum(path.stat().st_size for path in files)
    assert "is no JSON" in found[str(broken.path)]["status"]
    table = run("ls", "--cache", tmp_path).stdout
    assert "ucf101" in table
    assert store.fingerprint[:12] in table


def test_ls_looks_where_the_environment_says(
    tmp_path: Path, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLP_CACHE", str(tmp_path))
    assert len(run_json("ls")["stores"]) == 1
    empty = run("ls", "--cache", tmp_path / "none")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "No stores under" in empty.stderr


def test_info_shows_contents_failures_and_provenance(tmp_path: Path, store: FeatureStore) -> None:
    facts = run_json("info", store.path)
    assert facts["meaning"] == {"size": 224}
    assert facts["failed_reasons"] == {"missing": 1}
    assert facts["tool_versions"] == {"numpy": np.__version__}
    assert (facts["videos"], facts["frames"], facts["segments"], facts["batch_size"]) == (2, 30, 1, 32)
    assert run_json("info", "--dataset", "ucf101", "--cache", tmp_path) == facts
    assert "fingerprint: " + store.fingerprint in run("info", store.path).stdout


def test_verify_tells_whole_from_damaged_by_its_exit_status(store: FeatureStore) -> None:
    report = run_json("verify", store.path)
    assert (report["ok"], report["num_videos"], report["damages"]) == (True, 2, [])
    assert "all whole" in run("verify", store.path).stdout
    damage(store, 12)
    report = run_json("verify", store.path, status=1)
    assert report["video_ids"] == ["b"]
    assert report["damages"][0]["what"] == "features do not match their checksum"
    printed = run("verify", store.path)
    assert printed.exit_code == 1
    assert "features do not match their checksum (b)" in printed.stdout
    assert f"vlp store repair {store.path}" in printed.stderr


def test_compact_says_first_and_removes_then(store: FeatureStore) -> None:
    left = store.path / "segments" / "part-0of1-0123456789abcdef"
    left.mkdir()
    (left / "zarr.json").write_text("12345")
    report = run_json("compact", store.path, "--dry-run")
    assert [item["name"] for item in report["removed"]] == [f"segments/{left.name}"]
    assert (report["num_bytes"], report["dry_run"]) == (5, True)
    assert left.exists()
    assert "Would remove 1 entries, 5 bytes." in run("compact", store.path, "--dry-run").stdout
    assert "Removed 1 entries, 5 bytes." in run("compact", store.path).stdout
    assert not left.exists()
    assert run_json("compact", store.path)["removed"] == []


def test_a_store_that_is_not_there_or_not_the_only_one_is_an_error(
    tmp_path: Path, store: FeatureStore
) -> None:
    assert isinstance(run("info", tmp_path / "none.vlp").exception, StoreMissing)
    assert isinstance(run("info", "--dataset", "k400", "--cache", tmp_path).exception, FeaturesMissing)
    make_store(tmp_path, "ucf101", size=336)
    assert isinstance(run("verify", "--dataset", "ucf101", "--cache", tmp_path).exception, StoreAmbiguous)


@pytest.mark.parametrize("arguments", [(), ("x.vlp", "--dataset", "a"), ("x.vlp", "--model", "b")])
@pytest.mark.parametrize("command", ["info", "verify", "repair", "compact"])
def test_one_store_must_be_named_once(command: str, arguments: tuple[str, ...]) -> None:
    assert run(command, *arguments).exit_code == 2


@pytest.mark.parametrize("command", ["ls", "info", "verify", "repair", "compact", "add", "export", "import"])
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    assert f"vlp store {command}" in run(command, "--help").stdout
