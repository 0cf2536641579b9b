"""Gateway simulator: speaks the wire formats of the WhatsApp providers on localhost.

Tests, demos and benchmarks send to it instead of to the internet. Start it with
``python -m tools.gateway``; what arrived is at ``/admin/messages`` and, for people, at ``/``.
"""
