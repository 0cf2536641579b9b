"""`python -m tools.env <command>`: the door that the Makefile uses."""

from __future__ import annotations

import argparse
import sys

from . import bench, campaign, chaos, clean, demo_send, lint, porting, run, screenshots, shell, test
from .console import SetupError, complain

COMMANDS = {
    "run": (run.main, "start Odoo with demo data and the gateway simulator; Ctrl-C stops everything"),
    "test": (test.main, "lint and all tests, one summary (TESTS=… for a part, ODOO=17, 19 or 17,19)"),
    "demo-send": (demo_send.main, "approve a demo permit and show the message that arrives"),
    "bench": (bench.main, "measure the performance targets beside their anchors (SIZE=, ONLY=, STRICT=)"),
    "chaos": (chaos.main, "kill servers, crash the database, check the books (KILLS=, SECONDS=, SEED=)"),
    "campaign": (
        campaign.main,
        "kill, pause and resume a campaign, check that everybody was told once (SIZE=)",
    ),
    "screenshots": (screenshots.main, "pictures of every page for the guides (ONLY=rule,overview)"),
    "lint": (lint.main, "ruff and pylint-odoo"),
    "port": (porting.main, "write the Odoo 19 copy of the addon (TARGET=folder)"),
    "clean": (clean.main, "stop what runs and remove .env"),
}


def print_help() -> int:
    """List the make targets, one line each."""
    print("Targets (variables: ODOO_HOME=<source tree of Odoo 17.0>, ODOO=17 or 19):")
    for name, (_function, text) in COMMANDS.items():
        print(f"  make {name:<12} {text}")
    return 0


def main() -> int:
    """Run one command; the exit code is 0 when all went well, 1 when not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tools.env", add_help=False)
    parser.add_argument("command", choices=[*COMMANDS, "help"], nargs="?", default="help")
    command = parser.parse_args().command
    if command == "help":
        return print_help()
    shell.take_charge()
    try:
        return COMMANDS[command][0]()
    except SetupError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("Interrupted.")
        return 130
    finally:
        shell.stop_leftovers()


if __name__ == "__main__":
    sys.exit(main())
