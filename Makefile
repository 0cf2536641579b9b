# Everything is done by tools/env (Python, standard library only); see `make help`.
.DEFAULT_GOAL := help
PYTHON ?= python3
export ODOO ODOO_HOME TESTS TARGET KILLS SECONDS SEED SIZE ONLY STRICT

COMMANDS := help run test bench chaos campaign demo-send screenshots lint port clean
.PHONY: $(COMMANDS)

$(COMMANDS):
	@sh tools/env/bootstrap.sh $(PYTHON)
	@exec $(PYTHON) -m tools.env $@
