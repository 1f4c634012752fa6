"""`vlp extract` on real files: what is stored, how a run ends, and that nothing is lost on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from vlp.datasplits import load_dataset
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import load_encoder
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.planning import Part
from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores

Type = Callable[..., Any]
ALL = {"walk/0", "walk/1", "walk/2", "run/0", "run/1", "run/2"}


def the_store(folder: Path) -> FeatureStore:
    [found] = find_stores(folder / "cache")
    return FeatureStore.open(found.path)


def contents(store: FeatureStore) -> dict[str, tuple[bytes, bytes, bytes]]:
    """Every bit that was stored, by video."""
    read = {video_id: store.read(video_id) for video_id in store.videos()}
    return {
        video_id: (video.features.tobytes(), video.pts_seconds.tobytes(), video.frame_index.tobytes())
        for video_id, video in read.items()
    }


def test_every_video_is_stored_as_its_own_frames_encoded_by_clip(
    typed: Type, extract_arguments: list[object], videos: Path, tiny_model: str, tmp_path: Path
) -> None:
    """The definition, by other means: PyAV in this process, the PIL transform of open_clip, one frame at a time."""
    result = typed(*extract_arguments, "--json")
    assert (result.status, result.json["ok"], result.json["listed"]) == (0, 6, 6)
    store = the_store(tmp_path)
    clip = load_encoder(EncoderSpec(tiny_model, ""), device="cpu", precision="fp32").clip
    config = open_clip.transform.PreprocessCfg(size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    transform = open_clip.transform.image_transform_v2(config, is_train=False)
    assert set(store.videos()) == ALL
    for video in load_dataset("folder", root=videos).videos:
        with av.open(str(videos / video.path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            fps = Fraction(container.streams.video[0].average_rate)
        # A frame is kept when an instant k/30 falls into [start, end).
        kept = [
            index
            for index in range(len(frames))
            if -(-Fraction(index) * 30 // fps) < Fraction(index + 1) * 30 / fps
        ]
        stored = store.read(video.video_id)
        assert stored.frame_index.tolist() == kept
        np.testing.assert_allclose(stored.pts_seconds, [float(index / fps) for index in kept], atol=1e-6)
        with torch.inference_mode():
            images = torch.stack([transform(Image.fromarray(frames[index])) for index in kept])
            expected = clip.visual(images)
        cosine = torch.nn.functional.cosine_similarity(torch.tensor(stored.features[:, 0]).float(), expected)
        assert cosine.min() >= 0.9999


def test_a_second_run_does_nothing_says_so_and_imports_no_torch(
    typed: Type, extract_arguments: list[object], tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    before = contents(the_store(tmp_path))
    script = (
        "import sys; from vlp.cli.__main__ import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert ended.code == 0, ended.code\n"
        "assert 'torch' not in sys.modules and 'zarr' not in sys.modules\n"
    )
    again = subprocess.run(
        [sys.executable, "-c", script, *map(str, extract_arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "Nothing to do: 6 of 6 videos are extracted." in again.stdout
    assert contents(the_store(tmp_path)) == before


@pytest.fixture
def damaged(videos: Path, tmp_path: Path) -> Path:
    """The six videos, and beside them every kind of file that is not one."""
    root = tmp_path / "damaged"
    shutil.copytree(videos, root)
    (root / "walk" / "text.mp4").write_text("this is no video\n" * 100)
    (root / "walk" / "empty.mp4").touch()
    whole = (root / "run" / "1.avi").read_bytes()
    (root / "run" / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    (root / "run" / "folder.avi").mkdir()
    (root / "run" / "folder.avi" / "inner.txt").touch()
    (root / "list.csv").write_text(
        "path,label\n"
        + "".join(f"walk/{n}.mp4,walk\nrun/{n}.avi,run\n" for n in range(3))
        + "walk/text.mp4,walk\nwalk/empty.mp4,walk\nrun/cut.avi,run\nrun/folder.avi,run\nrun/gone.avi,run\n"
    )
    return root


def test_every_listed_video_is_accounted_for_and_bad_files_cost_their_neighbours_nothing(
    typed: Type, extract_arguments: list[object], damaged: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    clean = contents(the_store(tmp_path))
    listed = [*extract_arguments, "--root", damaged, "--manifest", damaged / "list.csv"]
    shutil.rmtree(tmp_path / "cache")
    result = typed(*listed, "--json")
    assert result.status == 3
    summary = result.json
    assert (summary["ok"], summary["short"], summary["failed"], summary["skipped"]) == (6, 1, 4, 0)
    reasons = {row["video_id"]: row["reason"] for row in summary["failures"]}
    assert reasons == {
        "walk/text": "not-a-video",
        "walk/empty": "empty",
        "run/folder": "not-a-file",
        "run/gone": "missing",
    }
    stored = contents(the_store(tmp_path))
    assert {video_id: stored[video_id] for video_id in ALL} == clean
    entry = the_store(tmp_path).videos()["run/cut"]
    assert entry.status == "short"
    assert entry.num_decoded < entry.num_expected


def test_failures_are_kept_until_asked_for_and_a_file_that_appears_is_extracted(
    typed: Type, extract_arguments: list[object], damaged: Path, videos: Path, tmp_path: Path
) -> None:
    listed = [*extract_arguments, "--root", damaged, "--manifest", damaged / "list.csv"]
    assert typed(*listed).status == 3
    shutil.copy(videos / "run" / "0.avi", damaged / "run" / "gone.avi")
    shutil.copy(videos / "walk" / "0.mp4", damaged / "walk" / "text.mp4")
    again = typed(*listed, "--json").json
    assert (again["ok"], again["failed"], again["skipped"]) == (1, 3, 7)  # gone.avi has come
    retried = typed(*listed, "--retry", "failed:not-a-video", "--json").json
    assert (retried["ok"], retried["failed"], retried["skipped"]) == (1, 2, 8)
    everything = typed(*listed, "--retry", "failed", "--json")
    assert (everything.json["ok"], everything.json["failed"], everything.status) == (0, 2, 3)
    assert the_store(tmp_path).failures()["walk/empty"].attempts == 2


def test_parts_and_limits_give_the_same_bits_as_one_run(
    typed: Type, extract_arguments: list[object], tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    whole = contents(the_store(tmp_path))
    shutil.rmtree(tmp_path / "cache")
    assert typed(*extract_arguments, "--limit", 2, "--json").json["ok"] == 2
    counts = [
        typed(*extract_arguments, "--part", f"{index}/3", "--json").json["listed"] for index in range(3)
    ]
    assert sum(counts) == 6
    assert contents(the_store(tmp_path)) == whole


def test_part_shares_are_disjoint_and_cover_every_video() -> None:
    ids = [f"class/video{number}" for number in range(1000)]
    for count in (1, 2, 7):
        shares = [
            {video_id for video_id in ids if Part(index, count).holds(video_id)} for index in range(count)
        ]
        assert sum(map(len, shares)) == 1000
        assert set().union(*shares) == set(ids)
        assert min(map(len, shares)) > 0


def start(arguments: list[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vlp.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def many(videos: Path, tmp_path: Path) -> Path:
    """Enough copies that a run lasts for seconds after its first segment."""
    root = tmp_path / "many"
    for number in range(40):
        for path in videos.rglob("*.*"):
            target = root / path.relative_to(videos).with_stem(f"{path.stem}-{number}")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return root


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listing.read_text().split()] if listing.exists() else []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_commits_what_is_whole_and_the_same_command_goes_on(
    typed: Type, extract_arguments: list[object], many: Path, tmp_path: Path, number: int, status: int
) -> None:
    arguments = [*extract_arguments, "--root", many]
    process = start(arguments)
    wait_for(lambda: len(children_of(process.pid)) >= 2, process)
    time.sleep(1)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == status, printed
    assert "The same command goes on from here." in printed
    partly = contents(the_store(tmp_path))
    assert len(partly) < 240
    finished = typed(*arguments, "--json")
    assert (finished.status, finished.json["skipped"]) == (0, len(partly))
    whole = contents(the_store(tmp_path))
    assert len(whole) == 240
    assert all(whole[video_id] == rows for video_id, rows in partly.items())


def test_a_killed_run_leaves_no_children_and_is_gone_on_with_to_the_same_bits(
    typed: Type, extract_arguments: list[object], many: Path, tmp_path: Path
) -> None:
    arguments = [*extract_arguments, "--root", many, "--limit", 100]
    assert typed(*arguments).status == 0
    expected = contents(the_store(tmp_path))
    shutil.rmtree(tmp_path / "cache" / "folder")
    for seconds in (0.0, 1.0):
        process = start(arguments)
        wait_for(lambda: len(children_of(process.pid)) >= 2, process)  # noqa: B023  # asked before it changes
        time.sleep(seconds)
        children = children_of(process.pid)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 30
        while any(_is_alive(child) for child in children):
            assert time.monotonic() < deadline, "a decode child outlived its parent"
            time.sleep(0.05)
    assert typed(*arguments).status == 0
    assert contents(the_store(tmp_path)) == expected


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_repair_extracts_exactly_what_is_damaged(
    typed: Type, extract_arguments: list[object], videos: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    store = the_store(tmp_path)
    before = contents(store)
    place = ["--cache", tmp_path / "cache", "--root", videos]
    assert typed("store", "repair", store.path, *place).status == 0  # nothing is damaged
    entry = store.videos()["walk/1"]
    shard = next(store.path.glob(f"segments/{entry.segment}/features/c/0/0/0"))
    with shard.open("r+b") as file:
        file.seek(entry.start * 16 * 2 + 5)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    assert typed("store", "verify", store.path).status == 1
    repaired = typed("store", "repair", store.path, *place, "--json")
    assert (repaired.status, repaired.json["found"]["video_ids"]) == (0, ["walk/1"])
    assert typed("store", "verify", store.path).status == 0
    assert contents(the_store(tmp_path)) == before


def test_a_dry_run_says_what_a_run_then_does(
    typed: Type, extract_arguments: list[object], tmp_path: Path
) -> None:
    planned = typed(*extract_arguments, "--dry-run", "--json").json
    assert not (tmp_path / "cache" / "folder").exists()
    done = typed(*extract_arguments, "--json").json
    assert planned["num_frames"] == done["num_rows"]
    assert planned["num_videos"] == done["ok"]
    assert planned["fingerprint"] == done["fingerprint"]
    assert planned["num_bytes"] >= done["num_rows"] * 16 * 2
    assert planned["frames_per_second"] > 0
    text = typed(*extract_arguments, "--dry-run")
    assert "Fingerprint: " + planned["fingerprint"] in text.stdout


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    typed: Type, extract_arguments: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    result = typed(*extract_arguments)
    assert result.status == 1
    assert "the features need about" in result.stderr
    assert "Run: the same command with --cache on a larger disk" in result.stderr
    assert not (tmp_path / "cache" / "folder").exists()


def test_features_that_are_not_finite_are_a_failure_with_a_reason(
    typed: Type, extract_arguments: list[object], tiny_model: str, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_model.removeprefix("local-dir:"), folder)
    state = load_file(folder / "open_clip_model.safetensors")
    state["visual.proj"][0, 0] = float("nan")
    save_file(state, folder / "open_clip_model.safetensors")
    result = typed(*extract_arguments, "--model", f"local-dir:{folder}", "--json")
    assert result.status == 3
    assert {row["reason"] for row in result.json["failures"]} == {"non-finite"}


def test_what_changes_the_meaning_changes_the_store_and_what_does_not_does_not(
    typed: Type, extract_arguments: list[object], tmp_path: Path
) -> None:
    base = typed(*extract_arguments, "--json").json
    same = typed(*extract_arguments, "--batch-size", 8, "--children", 1, "--json").json
    assert (same["fingerprint"], same["skipped"]) == (base["fingerprint"], 6)
    others = [("--fps", "native"), ("--fps", "5"), ("--frames", "4"), ("--precision", "bf16")]
    found = {typed(*extract_arguments, *other, "--json").json["fingerprint"] for other in others}
    assert len(found | {base["fingerprint"]}) == 5
    assert len(find_stores(tmp_path / "cache")) == 5


def test_the_number_of_frames_is_what_the_timeline_says(
    typed: Type, extract_arguments: list[object], tmp_path: Path
) -> None:
    native = typed(*extract_arguments, "--fps", "native", "--json").json
    assert native["num_rows"] == 2 * (24 + 37 + 50)
    assert typed(*extract_arguments, "--frames", 4, "--json").json["num_rows"] == 6 * 4


@pytest.mark.parametrize(
    ("extra", "status", "said"),
    [
        (["--fps", "30", "--frames", "4"], 2, "choose one of --fps and --frames"),
        (["--fps", "often"], 1, "timeline 'fps:often'"),
        (["--part", "3/3"], 1, "parts of 3 are 0 to 2"),
        (["--part", "half"], 1, "is not i/n"),
        (["--retry", "short"], 1, "cannot retry 'short'"),
        (["--device", "cuda:9"], 1, "no device 'cuda:9' on this machine. Found: cpu"),
        (["--precision", "fp8"], 1, "no precision 'fp8'"),
        (["--precision", "fp16"], 1, "fp16 is emulated on a CPU"),
        (["--model", "ViT-Z"], 1, "Run: vlp models ls"),
        (["--dataset", "ucf"], 1, "Run: vlp datasets ls"),
        (["--root", "nowhere"], 1, "Run: vlp datasets show folder"),
        (["--manifest", "nowhere.csv"], 1, "there is no such file"),
        (["--limit", "0"], 2, "--limit"),
    ],
)
def test_a_wrong_input_is_a_line_that_says_what_to_type(
    typed: Type, extract_arguments: list[object], tmp_path: Path, extra: list[str], status: int, said: str
) -> None:
    result = typed(*extract_arguments, *extra)
    assert result.status == status
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "cache" / "folder").exists()


@pytest.fixture
def held(extract_arguments: list[object], many: Path) -> Iterator[subprocess.Popen[str]]:
    process = start([*extract_arguments, "--root", many])
    wait_for(lambda: len(children_of(process.pid)) >= 2, process)
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_of_one_part_is_refused_and_the_holder_named(
    typed: Type, extract_arguments: list[object], many: Path, held: subprocess.Popen[str]
) -> None:
    result = typed(*extract_arguments, "--root", many)
    assert result.status == 1
    assert f"process {held.pid}" in result.stderr


def test_a_terminal_sees_a_bar_and_a_file_sees_lines(extract_arguments: list[object], tmp_path: Path) -> None:
    import pty

    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vlp.cli", *map(str, extract_arguments)],
        stdout=subprocess.PIPE,
        stderr=side,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"},
    )
    os.close(side)
    shown = b""
    try:
        while chunk := os.read(main, 65536):
            shown += chunk
    except OSError:  # the terminal of a process that has ended
        pass
    os.close(main)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert b"videos" in shown
    assert b"bottleneck" in shown
    assert b"6 ok, 0 short, 0 failed, 0 skipped of 6 videos" in out


def test_the_summary_is_one_json_object_that_adds_up(typed: Type, extract_arguments: list[object]) -> None:
    result = typed(*extract_arguments, "--json")
    summary = json.loads(result.stdout)
    total = summary["ok"] + summary["short"] + summary["failed"] + summary["skipped"]
    assert total == summary["listed"] == 6
    assert summary["bottleneck"] in {"decoding", "encoding", "writing"}
    assert set(summary["stage_seconds"]) >= {"waiting", "preparing", "encoding", "writing", "decoding_cpu"}


def test_a_link_out_of_the_root_fails_its_video_and_no_other(
    typed: Type, extract_arguments: list[object], videos: Path, tmp_path: Path
) -> None:
    root = tmp_path / "linked"
    shutil.copytree(videos, root)
    (root / "walk" / "0.mp4").unlink()
    (root / "walk" / "0.mp4").symlink_to(videos / "walk" / "0.mp4")
    listed = "path\n" + "".join(f"walk/{number}.mp4\n" for number in range(3))
    (root / "list.csv").write_text(listed)
    result = typed(*extract_arguments, "--root", root, "--manifest", root / "list.csv", "--json")
    assert (result.status, result.json["ok"], result.json["failed"]) == (3, 2, 1)
    [failure] = result.json["failures"]
    assert (failure["video_id"], failure["reason"]) == ("walk/0", "outside-root")


def test_the_batch_size_of_a_store_cannot_change_on_the_way(
    typed: Type, extract_arguments: list[object]
) -> None:
    assert typed(*extract_arguments, "--limit", 1, "--batch-size", 8).status == 0
    result = typed(*extract_arguments, "--batch-size", 16)
    assert result.status == 1
    assert "was begun with batches of 8, not 16" in result.stderr
    assert typed(*extract_arguments).status == 0
