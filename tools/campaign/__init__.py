"""`make campaign`: a campaign is started, its expansion killed twice, paused, resumed and finished; then it
is checked that everybody was written to once.

* `run`: the command itself, standard library only
* `world`, `act`: in Odoo's interpreter, each a process of its own: the records, and what a person clicks
"""
