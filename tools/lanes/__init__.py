"""The drain in lanes, with the real `queue_job` of OCA and its real runner: a step of `make test`.

- `packages.py`: what comes from PyPI, below `.env/`
- `stage.py`: database, simulator and server with worker processes
- `run.py`: what is played there, and what must be true afterwards
"""
