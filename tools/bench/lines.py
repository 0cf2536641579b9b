"""What was measured: lines of figures, some of which have a limit to hold."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HOLDS = "holds"
FAILS = "does not hold"
NOT_MEASURED = "not measured"

_SENSES = {
    "<=": lambda value, limit: value <= limit,
    ">=": lambda value, limit: value >= limit,
    "=": lambda value, limit: value == limit,
}


@dataclass
class Line:
    """One figure of a target.

    :param target: "T1" … "T15"
    :param what: what the figure is, in words
    :param values: its samples; empty when it could not be measured
    :param unit: "ms", "rows/s", "x" (a ratio), "" for a plain number
    :param sense: how the median is held against `limit`: "<=", ">=", "="; "" for a figure without a limit
    :param limit: the target's figure
    :param reason: why there is no sample
    """

    target: str
    what: str
    values: list[float] = field(default_factory=list)
    unit: str = ""
    sense: str = ""
    limit: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.limit is None) != (self.sense == "") or self.sense not in ("", *_SENSES):
            raise ValueError(f"{self.what}: a limit needs its sense, and a sense its limit")
        if not self.values and not self.reason:
            raise ValueError(f"{self.what}: neither measured nor a reason why not")

    @property
    def median(self) -> float:
        """The figure that is held against the limit."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """HOLDS, FAILS or NOT_MEASURED; empty for a figure without a limit."""
        if not self.values:
            return NOT_MEASURED
        if self.limit is None:
            return ""
        return HOLDS if _SENSES[self.sense](self.median, self.limit) else FAILS

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON; `from_dict` reads it."""
        found: dict[str, Any] = {**asdict(self), "verdict": self.verdict}
        if self.values:
            found.update(median=self.median, min=min(self.values), max=max(self.values))
        return found

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Line:
        """The line that `as_dict` wrote."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Divide the samples of the same round: noise that lasts longer than a round cancels out."""
    return [one / other for one, other in zip(above, below, strict=True)]


def differences(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Subtract the samples of the same round."""
    return [one - other for one, other in zip(above, below, strict=True)]


def verdict_of(lines: Sequence[Line]) -> str:
    """The verdict of a target: every limit must hold; what could not be measured is said beside it.

    :return: HOLDS, FAILS, NOT_MEASURED, or HOLDS with the number of limits that were not measured
    """
    verdicts = [line.verdict for line in lines if line.limit is not None]
    if FAILS in verdicts:
        return FAILS
    missing = verdicts.count(NOT_MEASURED)
    if missing == len(verdicts):
        return NOT_MEASURED
    return f"{HOLDS}; {missing} of {len(verdicts)} limits not measured" if missing else HOLDS
