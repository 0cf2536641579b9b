"""What a provider tells its customer by webhook: the class that a provider's file fills, and the sender.

Nothing is sent unless the account has a `callback_url`, and only to this machine. To add a provider: write
`hooks_<name>.py` with a subclass of `Hooks`, and name it in `server.HOOKS`.
"""

import asyncio
import ipaddress
import json
import time
from abc import ABC
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from .store import Message, Store, digits

KEEP_CALLS = 1_000
MOST_WAITING = 5_000  # messages whose receipts are not sent yet; those of further ones are not sent at all
AT_ONCE = 16
TIMEOUT = 10.0  # seconds that one call may take
ATTEMPTS = 3  # of a call that happens by itself
MOST_ATTEMPTS = 5
PAUSE = 0.2  # seconds before the second attempt; doubled for each further one

SIGNATURES = ("good", "wrong", "missing", "reserialised")


class Hooks(ABC):
    """One provider's webhooks. `settings` are fields of its account besides those of its wire.

    `receipts` in the account is what happens to every message by itself, in this order: statuses out of
    `statuses`, a failure with its code as ``failed:131042``.
    """

    name: ClassVar[str]
    statuses: ClassVar[frozenset[str]] = frozenset()
    content_type: ClassVar[str] = "application/json"
    settings: ClassVar[Mapping[str, object]] = {}

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def defaults(cls) -> dict[str, object]:
        """Return the fields of the account that concern webhooks, as they are at start."""
        return {"callback_url": "", "receipts": [], "receipt_delay_ms": 0, **cls.settings}

    @property
    def account(self) -> dict:
        """The account that this provider knows now."""
        return self.store.accounts[self.name]

    def check(self) -> None:
        """Check a changed account.

        :raises ValueError: when its fields make no sense.
        """
        if self.account["callback_url"] and not is_local(self.account["callback_url"]):
            raise ValueError(f"{self.name}: callback_url must be on this machine")
        if not isinstance(self.account["receipts"], list):
            raise ValueError(f"{self.name}: receipts must be a list")
        for status in self.account["receipts"]:
            self.split(status)
        delay = self.account["receipt_delay_ms"]
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= 60_000:
            raise ValueError(f"{self.name}: receipt_delay_ms must be between 0 and 60000")

    def split(self, status: object) -> tuple[str, str]:
        """Return a status and its code.

        :raises ValueError: for one that this provider does not know.
        """
        word, _colon, code = str(status).partition(":")
        if word not in self.statuses:
            known = ", ".join(sorted(self.statuses)) or "none"
            raise ValueError(f"{self.name} knows no status {word!r}; known: {known}")
        return word, code

    def receipt(self, message: Message, status: str, code: str, at: float) -> dict:
        """Return what the provider posts when `message` reaches `status` (with `code`, a failure)."""
        raise ValueError(f"{self.name} tells nothing about what became of a message")

    def happening(self, event: str, values: Mapping) -> dict:
        """Return what the provider posts when `event` happens; `values` are the admin's.

        :raises ValueError: for an event that this provider does not know, or a value that is missing.
        """
        raise ValueError(f"{self.name} knows no event {event!r}")

    def url(self, message: Message | None = None) -> str:
        """Return where to post, "" for nowhere."""
        return self.account["callback_url"]

    def encode(self, body: dict) -> bytes:
        """Return a body as it goes over the wire."""
        return json.dumps(body).encode()

    def sign(self, body: bytes, url: str, *, spoilt: bool = False) -> dict[str, str]:
        """Return the headers that sign `body`, with a wrong secret if `spoilt`; none if nothing is signed."""
        return {}


def is_local(url: object) -> bool:
    """Whether an address is on this machine: nothing of the simulator may reach anybody else."""
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def required(values: Mapping, name: str) -> str:
    """Return a text of the admin's.

    :raises ValueError: when it is missing.
    """
    value = values.get(name)
    if value in (None, ""):
        raise ValueError(f"{name} is required")
    return str(value)


@dataclass(frozen=True, slots=True)
class Post:
    """One webhook, ready to be sent."""

    provider: str
    event: str
    url: str
    body: bytes
    headers: dict[str, str]
    method: str = "POST"


class Callbacks:
    """Sends webhooks: those that an admin asks for, and the receipts that happen by themselves."""

    def __init__(self, store: Store, hooks: dict[str, Hooks]) -> None:
        self.store = store
        self.hooks = hooks
        self.calls: deque[dict] = deque(maxlen=KEEP_CALLS)
        self.dropped = 0
        self._last_id = 0
        self._tasks: set[asyncio.Task] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        store.mailbox.listener = self.accepted

    def accepted(self, message: Message) -> None:
        """Take note of a message that a wire accepted: its receipts follow by themselves."""
        hooks = self.hooks[message.provider]
        if not (hooks.account["receipts"] and is_local(hooks.url(message))):
            return
        if len(self._tasks) >= MOST_WAITING:
            self.dropped += 1
            return
        task = asyncio.get_running_loop().create_task(self._follow(hooks, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, hooks: Hooks, message: Message) -> None:
        receipts, delay = list(hooks.account["receipts"]), hooks.account["receipt_delay_ms"] / 1000
        async with self._slots:
            for status in receipts:
                await asyncio.sleep(delay)
                body = hooks.receipt(message, *hooks.split(status), time.time())
                await self._send(self._post(hooks, "receipt", body, hooks.url(message)), ATTEMPTS)

    async def happen(self, values: Mapping) -> list[dict]:
        """Let something happen as an admin says, and return what the customer answered, one for each call.

        `values`: `provider`, `event` ("receipt", "inbound", …, or "raw" with a `body` of any shape), the
        event's own fields, `signature` (one of `SIGNATURES`), `times` (the very same call so often),
        `attempts`.

        :raises ValueError: when that makes no sense.
        """
        hooks = self.hooks.get(str(values.get("provider")))
        if hooks is None:
            raise ValueError(f"unknown provider {values.get('provider')!r}")
        event, message, at = required(values, "event"), None, _at(values)
        attempts, times = _number(values, "attempts", MOST_ATTEMPTS), _number(values, "times", 20)
        if event == "receipt":
            message = self._message(hooks, values)
            status = hooks.split(required(values, "status"))
            body = hooks.receipt(message, status[0], str(values.get("code") or status[1]), at)
        elif event == "raw":
            body = values.get("body")
        else:
            body = hooks.happening(event, values)
        url = hooks.url(message)
        if not url:
            raise ValueError(f"{hooks.name} has no callback_url; give its account one")
        if not is_local(url):
            raise ValueError("the callback URL must be on this machine")
        if event == "challenge":
            post = Post(
                hooks.name, event, f"{url}{'&' if '?' in url else '?'}{urlencode(body)}", b"", {}, "GET"
            )
        else:
            post = self._post(hooks, event, body, url, str(values.get("signature") or "good"))
        return [await self._send(post, attempts) for _time in range(times)]

    def _message(self, hooks: Hooks, values: Mapping) -> Message:
        """Return the message that is meant, one that nobody sent when there is no such one."""
        known = {key: values[key] for key in ("id", "message_id") if key in values}
        first = values.get("id", 1)
        if not isinstance(first, int):
            raise ValueError("id must be the number of a message in the mailbox")
        for message in self.store.mailbox.since(first - 1):
            if (
                message.provider == hooks.name
                and known
                and all(getattr(message, key) == value for key, value in known.items())
            ):
                return message
        return Message(
            id=0,
            provider=hooks.name,
            to=digits(values.get("to") or "6281200000099"),
            text="",
            template=None,
            parameters=[],
            message_id=required(values, "message_id"),
            reference=values.get("reference"),
            at=time.time(),
        )

    def _post(self, hooks: Hooks, event: str, body: object, url: str, signature: str = "good") -> Post:
        if signature not in SIGNATURES:
            raise ValueError(f"signature must be one of {', '.join(SIGNATURES)}")
        content = body.encode() if isinstance(body, str) else hooks.encode(body)
        signed = content
        if signature == "reserialised":
            signed = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        headers = {} if signature == "missing" else hooks.sign(signed, url, spoilt=signature == "wrong")
        return Post(hooks.name, event, url, content, {"Content-Type": hooks.content_type, **headers})

    async def _send(self, post: Post, attempts: int) -> dict:
        """Post until it is answered with 2xx, at most so often; return and log what came of it."""
        self._last_id += 1
        call = {
            "id": self._last_id,
            "provider": post.provider,
            "event": post.event,
            "status": 0,
            "answer": "",
            "attempts": 0,
            "at": time.time(),
        }
        self.calls.append(call)
        async with ClientSession(timeout=ClientTimeout(total=TIMEOUT), trust_env=False) as session:
            while call["attempts"] < attempts and not 200 <= call["status"] < 300:
                if call["attempts"]:
                    await asyncio.sleep(PAUSE * 2 ** (call["attempts"] - 1))
                call["attempts"] += 1
                try:
                    async with session.request(
                        post.method,
                        URL(post.url, encoded=True),  # as it is: Twilio signs it
                        data=post.body,
                        headers=post.headers,
                        allow_redirects=False,
                    ) as answer:
                        call["status"] = answer.status
                        call["answer"] = (await answer.content.read(2000)).decode("utf-8", "replace")
                except (ClientError, asyncio.TimeoutError, OSError) as error:
                    call["status"], call["answer"] = 0, type(error).__name__
        return call

    async def settle(self, seconds: float) -> int:
        """Wait until nothing is waiting to be sent, at most so long; return how much still is."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=min(seconds, 60.0))
        return len(self._tasks)

    def forget(self) -> None:
        """Forget the calls, and stop what is under way."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self.calls.clear()
        self.dropped = 0


def _at(values: Mapping) -> float:
    at = values.get("at")
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
        raise ValueError("at must be Unix seconds")
    return time.time() if at is None else at


def _number(values: Mapping, name: str, most: int) -> int:
    value = values.get(name, 1)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} must be between 1 and {most}")
    return value
