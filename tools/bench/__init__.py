"""`make bench`: the performance targets T1 to T15, each measured beside its anchor in the same run.

A subject (`hooks`, `enqueue`, `claim`, `totals`, `cleanup`, `drain`) measures some of the targets inside an
Odoo process of its own, on a database of its own, and gives `lines.Line`s; `tools/env/bench.py` prepares,
starts and collects them.

Only what was measured in one run is compared. Compared things are measured in interleaved rounds, A B A B,
after a warm-up; a ratio is taken within each round, and shown as median (smallest..largest). Numbers of SQL
statements are exact."""
