"""`make chaos`: servers are killed, the database crashes, the gateway misbehaves; then the books are checked.

Two Odoo servers share one database and drain its queue while messages keep being queued. What runs where:

* `run`, `monkey`, `servers`, `phones`, `cluster`, `books`: the command itself, standard library only;
* `world`, `loader`: in Odoo's interpreter, each a process of its own, over `inside`.
"""
