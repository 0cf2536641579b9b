"""The table for people: for each target what was compared, the figures, and the verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .lines import Line, verdict_of
from .targets import TARGETS

WIDTH = 118


def shown(value: float) -> str:
    """A figure with about three digits that mean something: 12,346, 12.3, 0.123."""
    if value == int(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    for floor, digits in ((1000, 0), (100, 0), (10, 1), (1, 2)):
        if abs(value) >= floor:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}"


def figures(line: Line) -> str:
    """Median and noise of a line: `12.3 (11.9..13.0) ms`."""
    if not line.values:
        return "–"
    text = shown(line.median)
    if len(line.values) > 1:
        text += f" ({shown(min(line.values))}..{shown(max(line.values))})"
    if line.unit == "x":
        return "x" + text
    return f"{text} {line.unit}".rstrip()


def rows(lines: Sequence[Line]) -> list[str]:
    """The table's text lines, targets in their order; those without any line are left out."""
    text: list[str] = []
    for name, target in TARGETS.items():
        mine = [line for line in lines if line.target == name]
        if not mine:
            continue
        text += ["", f"{name}  {target.title}: {verdict_of(mine)}"]
        text += textwrap.wrap(target.note, WIDTH - 5, initial_indent="     ", subsequent_indent="     ")
        text += [_row(line) for line in mine]
    return text


def _row(line: Line) -> str:
    limit = f"{line.sense} {shown(line.limit)}" if line.limit is not None else ""
    verdict = f"{line.verdict}: {line.reason}" if line.reason else line.verdict
    return f"     {line.what:<58}  {figures(line):>30}  {limit:<9} {verdict}".rstrip()


def summary(lines: Sequence[Line]) -> list[str]:
    """One line per target that was asked for, and how many hold."""
    verdicts = {
        name: verdict_of(mine)
        for name in TARGETS
        if (mine := [line for line in lines if line.target == name])
    }
    text = [""] + [f"{name:<4} {verdict:<40} {TARGETS[name].title}" for name, verdict in verdicts.items()]
    holding = sum(verdict.startswith("holds") for verdict in verdicts.values())
    return [*text, "", f"{holding} of {len(verdicts)} targets hold"]
