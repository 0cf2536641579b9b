"""The developer's environment: everything `make run`, `make test` and `make demo-send` need.

Standard library only, because this package is what installs the rest. Where to look:

- which Odoo: `source.py` (the choice), `odoo17.py`, `odoo19.py`, `debian.py` (private apt folder)
- what it needs: `system.py` (apt packages), `venv.py`, `postgres.py` (private cluster), `database.py`
- the addon under its technical name: `addon.py` (and `tools/port.py` for Odoo 19)
- the commands: `run.py`, `demo_send.py`, `test.py` with `report.py`, `lint.py`, `clean.py`
- underneath: `paths.py`, `shell.py` (processes, signals), `locks.py`, `ports.py`, `console.py`, `rpc.py`
"""
