"""How OpenMP's threads wait: asleep beside decode children, awake where nothing is decoded."""

import os
import subprocess
import sys

import pytest

ASKED = "import os; print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"

USED = "import psutil; psutil.cpu_percent = lambda interval: {}"
LEARN = "import vlp.pipeline; vlp.pipeline.decode_nothing()"


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        pytest.param("import vlp.pipeline", {}, "PASSIVE None", id="by-default"),
        pytest.param(f"{USED.format(10.0)}; {LEARN}", {}, "PASSIVE 300000", id="without-decoding"),
        pytest.param(f"{USED.format(60.0)}; {LEARN}", {}, "PASSIVE None", id="where-others-use-the-cores"),
        pytest.param(
            f"{USED.format(10.0)}; {LEARN}",
            {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "7"},
            "ACTIVE 7",
            id="a-users-choice-stays",
        ),
    ],
)
def test_threads_wait_as_the_process_needs(code: str, given: dict[str, str], expected: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if "OMP_" not in name and name != "GOMP_SPINCOUNT"
    } | given
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {ASKED}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


def test_it_is_said_before_torch_loads() -> None:
    """OpenMP reads it once, with torch."""
    code = "import sys, vlp.pipeline; vlp.pipeline.decode_nothing(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
