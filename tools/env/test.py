"""`make test`: lint, unit tests, the addon's tests on a real Odoo with a real browser, lanes and chaos."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ..lanes import run as lanes
from . import addon, campaign, chaos, database, lint, paths, ports, shell, source, system
from .console import SetupError, say
from .odoo import Odoo
from .postgres import Cluster
from .report import Step, read_odoo_log, read_unittest_output, summarize

#: Unit tests that need no Odoo: name → folder.
SUITES = {
    "providers": Path("providers/tests"),
    "gateway": Path("tools/gateway/tests"),
    "env": Path("tools/env/tests"),
    "bench": Path("tools/bench/tests"),
    "chaos-books": Path("tools/chaos/tests"),
}
ODOO_TIMEOUT = 3000


class Selection:
    """What TESTS asks for.

    `parts` are names among `lint`, SUITES, `lanes`, `campaign` and `chaos`; `tags` is an Odoo --test-tags
    expression, None for no tests in Odoo.
    """

    def __init__(self, wanted: str) -> None:
        words = [word for word in wanted.replace(" ", "").split(",") if word]
        everything = ["lint", *SUITES, "lanes", "campaign", "chaos"]
        self.parts = [word for word in words if word in everything] if words else everything
        expressions = [_expand(word) for word in words if word not in everything]
        self.tags = ",".join(expressions) if words else f"/{paths.MODULE}"
        self.tags = self.tags or None


def _expand(word: str) -> str:
    """An Odoo test tag from its short form: `TestQueue.test_x`, `TestQueue`, `test_x`."""
    if re.fullmatch(r"Test\w*(\.test_\w+)?", word):
        return f"/{paths.MODULE}:{word}"
    if re.fullmatch(r"test_\w+", word):
        return f"/{paths.MODULE}.{word}"
    return word


def main() -> int:
    """Run what was asked for and print one summary."""
    selection = Selection(os.environ.get("TESTS", ""))
    paths.ensure_env()
    addon.require()
    system.ensure_packages(with_browser=selection.tags is not None)
    steps: list[Step] = []
    if "lint" in selection.parts:
        say("Running lint")
        steps += lint.steps()
    suites = [name for name in SUITES if name in selection.parts]
    if set(selection.parts) - {"lint"} or selection.tags:
        odoos = source.choose()
        steps += [_unit_tests(name, SUITES[name], odoos[0]) for name in suites]
        if selection.tags:
            steps += [_odoo_tests(odoo, selection.tags) for odoo in odoos]
        if "lanes" in selection.parts:
            steps += [_lane_tests(odoo) for odoo in odoos]
        if "campaign" in selection.parts:
            steps += [_campaign(odoo) for odoo in odoos]
        if "chaos" in selection.parts:
            steps += [_chaos(odoo) for odoo in odoos]
    return summarize(steps)


def _timed(step: Step, work: Callable[[], None]) -> Step:
    """Run `work`, which fills `step`; what breaks it is a failure of the step."""
    say(f"Running {step.name}")
    begin = time.monotonic()
    try:
        work()
    except SetupError as error:
        step.failures.append(str(error))
    step.seconds = time.monotonic() - begin
    if not step.passed and not step.failures:
        step.failures.append("No test ran, and an empty suite proves nothing.")
    return step


def _unit_tests(name: str, folder: Path, odoo: Odoo) -> Step:
    log = paths.LOGS / f"test-{name}.log"
    step = Step(name, log=paths.relative(log))

    def work() -> None:
        if not (paths.ROOT / folder).is_dir():
            return
        result = shell.run(
            [odoo.python, "-m", "unittest", "discover", "-s", folder, "-t", "."],
            timeout=900,
            cwd=paths.ROOT,
            env=odoo.unit_test_env(),
            check=False,
        )
        log.write_text(result.stdout)
        read_unittest_output(result.stdout, result.returncode, step)

    return _timed(step, work)


def _odoo_tests(odoo: Odoo, tags: str) -> Step:
    log = paths.LOGS / f"test-odoo-{odoo.series}.log"
    step = Step(f"addon on Odoo {odoo.series}", log=paths.relative(log))

    def work() -> None:
        with Cluster() as odoo.cluster:
            _test_on(odoo, tags, log, step)

    return _timed(step, work)


def _lane_tests(odoo: Odoo) -> Step:
    log = paths.LOGS / f"test-lanes-{odoo.series}.log"
    step = Step(f"lanes on Odoo {odoo.series}", log=paths.relative(log))

    def work() -> None:
        with Cluster() as odoo.cluster:
            lanes.play(odoo, log, step)

    return _timed(step, work)


def _campaign(odoo: Odoo) -> Step:
    step = Step(f"campaign on Odoo {odoo.series}", log=paths.relative(campaign.logs(odoo)))
    return _timed(step, lambda: campaign.short(odoo, step))


def _chaos(odoo: Odoo) -> Step:
    step = Step(f"chaos on Odoo {odoo.series}", log=paths.relative(chaos.logs(odoo)))
    return _timed(step, lambda: chaos.short(odoo, step))


def _test_on(odoo: Odoo, tags: str, log: Path, step: Step) -> None:
    """Install the addon into a fresh copy of the template and run its tests there."""
    run_id = f"test_{odoo.series}_{os.getpid()}"
    database.drop_abandoned(odoo.cluster, odoo)
    template = database.ensure_template(odoo.cluster, odoo)
    try:
        addons = addon.addons_folder(odoo, run_id)
        database.copy(odoo.cluster, odoo, template, run_id)
        command = [
            *odoo.command(run_id, [addons]),
            *("-i", paths.MODULE, "--test-enable", "--test-tags", tags, "--stop-after-init"),
            *(f"--http-port={ports.ephemeral()}", f"--gevent-port={ports.ephemeral()}"),
            *("--max-cron-threads=0", "--limit-time-real=1800", "--limit-time-cpu=1800"),
            *("--screenshots", str(paths.LOGS)),
        ]
        _run_logged(command, log, odoo.env())
        read_odoo_log(log.read_text(errors="replace"), step)
    finally:
        database.drop(odoo.cluster, odoo, run_id)
        shutil.rmtree(paths.ENV / f"addons-{odoo.series}-{run_id}", ignore_errors=True)


def _run_logged(command: list[str], log: Path, env: dict[str, str]) -> None:
    """Run Odoo with its log in a file; its exit code says nothing that the log does not."""
    with log.open("wb") as stream:
        process = shell.start(command, stdout=stream, env=env)
    try:
        process.wait(timeout=ODOO_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise SetupError(f"The tests did not end within {ODOO_TIMEOUT} s.") from None
    finally:
        shell.stop(process, patience=3)
