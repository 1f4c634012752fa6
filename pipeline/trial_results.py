"""What repeated trainings give, and how every number was made."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vlp.pipeline.metrics.intervals import mean_interval


@dataclass(frozen=True)
class Trial:
    """One training and its test, as fractions.

    Attributes:
        seed: of the draw and the training.
        values: metric to value.
        classes: those drawn, where a trial draws any.
    """

    seed: int
    values: Mapping[str, float]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialsResult:
    """Repeated trainings.

    Attributes:
        provenance: everything but the numbers, as plain data.
        trials: one a round, seed or trial.
    """

    provenance: Mapping[str, Any]
    trials: tuple[Trial, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured."""
        return tuple(self.trials[0].values)

    def summary(self, metric: str) -> tuple[float, float | None]:
        """Mean over the trials, and half of its 95% interval."""
        return mean_interval([trial.values[metric] for trial in self.trials])

    def std(self, metric: str) -> float | None:
        """Sample standard deviation (n - 1) over the trials; None for a single one."""
        values = [trial.values[metric] for trial in self.trials]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data: provenance, means with half of their 95% intervals, then each trial."""
        means = {metric: self.summary(metric) for metric in self.metrics}
        return {
            **self.provenance,
            **{metric: mean for metric, (mean, _) in means.items()},
            **{f"{metric}_interval": half for metric, (_, half) in means.items()},
            **{f"{metric}_std": self.std(metric) for metric in self.metrics},
            "trials": [asdict(trial) for trial in self.trials],
        }
