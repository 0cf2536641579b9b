"""Answering a provider call, and playing the faults that adapters must survive.

A fault that plays after the message was received goes through the provider's normal handling first, so
that the message is on the phone although the client never sees a proper answer.
"""

import asyncio
import json
import re
import socket
import struct
from typing import cast

from aiohttp import web

from .store import Fault, Store, digits
from .wire import Call, Reply, Route, Wire

# The longest time that a call is left hanging, in seconds.
LONGEST_WAIT = 60.0
# How late a slow answer is when the fault does not say it, in seconds.
SLOW = 2.0

RECEIVED = frozenset({"slow", "cut_after_read", "timeout_after_read", "truncated", "not_json", "empty"})
TRANSPORT = RECEIVED | {"cut_before_read"}
CUT = frozenset({"cut_before_read", "cut_after_read", "timeout_after_read", "truncated"})

_HTTP = re.compile(r"http:([45]\d\d)\Z")
_REASONS = {
    401: "Unauthorized",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Time-out",
}
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


def check(values: dict, wires: dict[str, Wire]) -> dict:
    """Return the fields of a new `Fault` from an admin's JSON.

    :param wires: the known providers by name.
    :raises ValueError: an unknown field, provider or fault, or a number that is none.
    """
    fields = {"provider", "fault", "times", "to", "on", "retry_after", "delay", "http_status"}
    if unknown := sorted(set(values) - fields):
        raise ValueError(f"unknown field {', '.join(unknown)}")
    provider, fault = values.get("provider", "*"), str(values.get("fault", ""))
    if provider != "*" and provider not in wires:
        raise ValueError(f"unknown provider {provider!r}")
    if fault not in TRANSPORT and not _HTTP.match(fault):
        if provider == "*":
            raise ValueError(f"{fault!r} is no fault of every provider; name the provider of this code")
        if not wires[provider].knows_code(fault):
            raise ValueError(f"{fault!r} is neither a fault nor a code of {provider}")
    if values.get("on", "send") not in ("send", "test"):
        raise ValueError("on must be send or test")
    for key in ("times", "retry_after", "delay", "http_status"):
        value = values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise ValueError(f"{key} must be a number")
    return {**values, "provider": provider, "fault": fault, "to": digits(values.get("to"))}


async def answer(store: Store, wire: Wire, route: Route, request: web.Request) -> web.StreamResponse:
    """Answer one provider call: read it, wait, and handle it normally or play the fault that is due."""
    call = await _read(request, wire.form)
    if store.delay and route.kind == "send":
        await asyncio.sleep(store.delay)
    fault = store.faults.take(wire.name, route.kind, wire.recipients(call)) if store.faults else None
    if fault is None:
        reply = route.handle(call)
        store.log(wire.name, request.method, request.path, reply.status)
        return respond(reply)
    if fault.fault in RECEIVED:
        reply = route.handle(call)
    else:
        reply = _refusal(fault, wire, call)
    store.log(wire.name, request.method, request.path, _status(fault, reply), fault.fault)
    delay = fault.delay if fault.delay is not None else SLOW if fault.fault == "slow" else 0.0
    if delay:
        await asyncio.sleep(min(delay, LONGEST_WAIT))
    return await _play(fault, reply, request)


def _status(fault: Fault, reply: Reply) -> int | str:
    """Return what the request log shows for a fault."""
    if fault.fault in CUT:
        return "cut"
    return 200 if fault.fault in ("not_json", "empty") else reply.status


def respond(reply: Reply) -> web.Response:
    """Turn a reply into an HTTP response."""
    if isinstance(reply.body, str):
        return web.Response(
            text=reply.body, status=reply.status, headers=reply.headers, content_type="text/html"
        )
    return web.Response(
        body=json.dumps(reply.body).encode(),
        status=reply.status,
        headers=reply.headers,
        content_type="application/json",
    )


async def _read(request: web.Request, form: bool) -> Call:
    """Read the whole request; a body that cannot be understood becomes None."""
    fields = None
    if request.method == "POST":
        try:
            if form:
                parts = (await request.post()).items()
                fields = {key: value for key, value in parts if isinstance(value, str)}
            else:
                parsed = json.loads(await request.read())
                fields = parsed if isinstance(parsed, dict) else None
        except ValueError:
            fields = None
    url = f"{request.scheme}://{request.host}{request.path}"
    return Call(fields, request.headers, request.query, request.match_info, url)


def _refusal(fault: Fault, wire: Wire, call: Call) -> Reply:
    """Return what a call is refused with; the provider's own words, or a plain HTTP error."""
    if fault.fault == "cut_before_read":
        return Reply("")
    match = _HTTP.match(fault.fault)
    if match:
        status = fault.http_status or int(match[1])
        reply = Reply(_PAGE.format(f"{status} {_REASONS.get(status, 'Error')}"), status)
    else:
        reply = wire.play(fault.fault, fault.http_status, call)
    if fault.retry_after is not None:
        reply.headers["Retry-After"] = f"{fault.retry_after:g}"
    return reply


async def _play(fault: Fault, reply: Reply, request: web.Request) -> web.StreamResponse:
    """Send the reply, or what the fault makes of it."""
    if fault.fault == "timeout_after_read":
        await _until_client_leaves(request)
    if fault.fault in ("cut_before_read", "cut_after_read", "timeout_after_read"):
        _reset(request)
        return web.Response()
    if fault.fault == "truncated":
        return await _half(reply, request)
    if fault.fault == "not_json":
        return respond(Reply(_PAGE.format("Welcome")))
    if fault.fault == "empty":
        return web.Response()
    return respond(reply)


async def _until_client_leaves(request: web.Request) -> None:
    waited = 0.0
    while waited < LONGEST_WAIT and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)
        waited += 0.05


def _reset(request: web.Request) -> None:
    """Close the connection with a TCP reset, as a crashed server or a firewall does."""
    transport = request.transport
    if transport is None:
        return
    connection = cast(socket.socket, transport.get_extra_info("socket"))
    # Lingering for zero seconds makes the kernel send a reset instead of an orderly end.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast(asyncio.Transport, transport).abort()


async def _half(reply: Reply, request: web.Request) -> web.StreamResponse:
    """Promise the whole body, send half of it, and end the connection."""
    whole = respond(reply)
    body = cast(bytes, whole.body)
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
