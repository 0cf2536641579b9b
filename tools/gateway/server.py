"""The HTTP application: the providers' wires, the admin doors, the page and its live events."""

import asyncio
import copy
import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from importlib.resources import files

from aiohttp import web

from . import faults
from .hooks import Callbacks, Hooks
from .hooks_fonnte import FonnteHooks
from .hooks_meta import MetaHooks
from .hooks_twilio import TwilioHooks
from .hooks_waha import WahaHooks
from .hooks_watzap import WatzapHooks
from .store import Accounts, Store
from .wire import Reply, Route, Wire
from .wire_fonnte import Fonnte
from .wire_meta import Meta
from .wire_twilio import Twilio
from .wire_waha import Waha
from .wire_watzap import Watzap

WIRES: tuple[type[Wire], ...] = (Meta, Fonnte, Watzap, Waha, Twilio)
HOOKS: tuple[type[Hooks], ...] = (MetaHooks, FonnteHooks, WatzapHooks, WahaHooks, TwilioHooks)

# The page gets this many messages when it opens, and at most so many at once afterwards.
PAGE_MESSAGES = 500
# Seconds between two looks at the mailbox for an open page: cheap whatever the rate of messages.
PAGE_INTERVAL = 0.2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app() -> web.Application:
    """Return a fresh simulator; its state is in memory only."""
    settings = {hooks.name: hooks.defaults() for hooks in HOOKS}
    store = Store(Accounts({wire.name: {**wire.default_account, **settings[wire.name]} for wire in WIRES}))
    wires = {wire.name: wire(store) for wire in WIRES}
    callbacks = Callbacks(store, {hooks.name: hooks(store) for hooks in HOOKS})
    app = web.Application(client_max_size=8 * 1024 * 1024)
    for wire in wires.values():
        _add_wire(app, store, wire)
    Doors(store, wires, callbacks).add_to(app)
    return app


def _add_wire(app: web.Application, store: Store, wire: Wire) -> None:
    for route in wire.routes():
        app.router.add_route(
            route.method, f"/{wire.name}{route.path}", partial(faults.answer, store, wire, route)
        )
    # A misspelt path is a mistake of the client that its developer wants to see in the request log.
    missing = Route("*", "/{rest:.*}", "test", lambda call: Reply({"error": "no such path"}, 404))
    app.router.add_route("*", f"/{wire.name}{missing.path}", partial(faults.answer, store, wire, missing))


def _local(handler: Handler) -> Handler:
    """Let only this machine in: these doors have no password and show what was sent."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:
            raise web.HTTPForbidden(text="Only from this machine.")
        try:
            return await handler(request)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    return guarded


async def _object(request: web.Request) -> dict:
    """Return the JSON object in the body.

    :raises ValueError: the body is something else.
    """
    values = json.loads(await request.read())
    if not isinstance(values, dict):
        raise ValueError("a JSON object is expected")
    return values


class Doors:
    """The admin doors and the page of one simulator."""

    def __init__(self, store: Store, wires: dict[str, Wire], callbacks: Callbacks) -> None:
        self.store = store
        self.wires = wires
        self.callbacks = callbacks

    def add_to(self, app: web.Application) -> None:
        """Add all doors to the application."""
        for method, path, handler in (
            ("GET", "/", self.page),
            ("GET", "/events", self.events),
            ("GET", "/admin/health", self.health),
            ("GET", "/admin/messages", self.messages),
            ("DELETE", "/admin/messages", self.forget_messages),
            ("GET", "/admin/requests", self.requests),
            ("POST", "/admin/reset", self.reset),
            ("GET", "/admin/accounts", self.accounts),
            ("POST", "/admin/accounts", self.change_accounts),
            ("GET", "/admin/settings", self.settings),
            ("POST", "/admin/settings", self.change_settings),
            ("GET", "/admin/faults", self.faults),
            ("POST", "/admin/faults", self.add_fault),
            ("DELETE", "/admin/faults", self.remove_faults),
            ("DELETE", r"/admin/faults/{id:\d+}", self.remove_fault),
            ("GET", "/admin/hooks", self.hooks),
            ("POST", "/admin/hooks", self.send_hook),
        ):
            app.router.add_route(method, path, _local(handler))

    async def page(self, request: web.Request) -> web.StreamResponse:
        text = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html")

    async def health(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        found, count = self.store.mailbox.search(
            provider=query.get("provider", ""),
            to=query.get("to", ""),
            since_id=int(query.get("since_id", 0)),
            limit=int(query["limit"]) if "limit" in query else None,
        )
        return web.json_response({"messages": found, "count": count})

    async def forget_messages(self, request: web.Request) -> web.StreamResponse:
        self.store.mailbox.clear()
        return web.json_response({"ok": True})

    async def requests(self, request: web.Request) -> web.StreamResponse:
        provider, since_id = request.query.get("provider", ""), int(request.query.get("since_id", 0))
        found = [
            one
            for one in self.store.requests
            if one["id"] > since_id and (not provider or one["provider"] == provider)
        ]
        return web.json_response({"requests": found, "count": len(found)})

    async def hooks(self, request: web.Request) -> web.StreamResponse:
        """The webhooks that were sent; `settle` seconds are waited for those that still are to be."""
        waiting = await self.callbacks.settle(float(request.query.get("settle", 0)))
        calls = [
            call
            for call in self.callbacks.calls
            if request.query.get("provider", call["provider"]) == call["provider"]
        ]
        return web.json_response({"calls": calls, "waiting": waiting, "dropped": self.callbacks.dropped})

    async def send_hook(self, request: web.Request) -> web.StreamResponse:
        values = await _object(request)
        calls = await self.callbacks.happen(values)
        self.wires[values["provider"]].happened(values)
        return web.json_response({"calls": calls})

    async def reset(self, request: web.Request) -> web.StreamResponse:
        self.store.reset()
        self.callbacks.forget()
        self._configure()
        return web.json_response({"ok": True})

    async def accounts(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.store.accounts.all())

    async def change_accounts(self, request: web.Request) -> web.StreamResponse:
        changes = await _object(request)
        before = copy.deepcopy(self.store.accounts.all())
        self.store.accounts.patch(changes)
        try:
            self._configure()
        except (TypeError, ValueError) as error:
            self.store.accounts.patch(before)
            self._configure()
            raise ValueError(str(error)) from error
        return web.json_response(self.store.accounts.all())

    async def settings(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"delay_ms": round(self.store.delay * 1000)})

    async def change_settings(self, request: web.Request) -> web.StreamResponse:
        values = await _object(request)
        if set(values) != {"delay_ms"}:
            raise ValueError("the one setting is delay_ms")
        delay = values["delay_ms"]
        if not isinstance(delay, int | float) or not 0 <= delay <= faults.LONGEST_WAIT * 1000:
            raise ValueError("delay_ms must be between 0 and 60000")
        self.store.delay = delay / 1000
        return await self.settings(request)

    async def faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"faults": self.store.faults.list()})

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        fault = self.store.faults.add(**faults.check(await _object(request), self.wires))
        return web.json_response({"id": fault.id})

    async def remove_faults(self, request: web.Request) -> web.StreamResponse:
        self.store.faults.clear()
        return web.json_response({"ok": True})

    async def remove_fault(self, request: web.Request) -> web.StreamResponse:
        if not self.store.faults.remove(int(request.match_info["id"])):
            return web.json_response({"error": "no such fault"}, status=404)
        return web.json_response({"ok": True})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `state` and `snapshot` first, then what changed, also as `messages`."""
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        response.headers["Cache-Control"] = "no-store"
        await response.prepare(request)
        mailbox, generation, last_id, state, quiet = self.store.mailbox, -1, 0, "", 0.0
        try:
            while True:
                lines = []
                if (now := self._state()) != state:
                    state = now
                    lines.append(f"event: state\ndata: {state}\n\n")
                if (mailbox.generation, mailbox.last_id) != (generation, last_id):
                    fresh = mailbox.generation != generation
                    new = PAGE_MESSAGES if fresh else min(PAGE_MESSAGES, mailbox.last_id - last_id)
                    generation, last_id = mailbox.generation, mailbox.last_id
                    lines.append(f"event: {'snapshot' if fresh else 'messages'}\ndata: {self._news(new)}\n\n")
                quiet = 0.0 if lines else quiet + PAGE_INTERVAL
                if quiet > 10:  # a comment now and then finds out whether the page is still there
                    quiet = 0.0
                    lines.append(": here\n\n")
                if lines:
                    await response.write("".join(lines).encode())
                await asyncio.sleep(PAGE_INTERVAL)
        except ConnectionError:
            return response

    def _news(self, count: int) -> str:
        """Return the newest `count` messages and the counts, as JSON."""
        mailbox = self.store.mailbox
        messages = [asdict(message) for message in mailbox.newest(count)]
        return json.dumps({"messages": messages, "counts": mailbox.counts})

    def _state(self) -> str:
        """Return what the page's panel shows, as JSON."""
        providers = [
            {
                "name": wire.name,
                "label": wire.label,
                "connected": wire.connected,
                "hooks": self._tells(wire.name),
            }
            for wire in self.wires.values()
        ]
        active = [fault for fault in self.store.faults.list() if fault["active"]]
        for fault in active:
            if fault["times"] is None:
                del fault["played"]  # it would change with every send and tell the page nothing
        return json.dumps({"providers": providers, "faults": active})

    def _configure(self) -> None:
        for wire in self.wires.values():
            wire.configure()
        for hooks in self.callbacks.hooks.values():
            hooks.check()

    def _tells(self, name: str) -> list[str] | None:
        """Return which statuses a provider tells its customer, None when it does not know where to."""
        hooks = self.callbacks.hooks[name]
        return sorted(hooks.statuses) if hooks.account["callback_url"] else None
