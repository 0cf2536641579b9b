"""The values that travel between the queue and the wire: plain, frozen, without behaviour.

Nothing here knows Odoo or HTTP. What is secret or personal (tokens, numbers, texts) does not show in a
``repr``, so that such a value may appear in a log line or a traceback by accident and still tell nothing.
"""

from dataclasses import dataclass, field

ACCEPTED = "accepted"  # the service took the message
REFUSED = "refused"  # the message certainly did not leave
UNKNOWN = "unknown"  # it may have left, it may not: never to be sent again without a decision
OUTCOMES = (ACCEPTED, REFUSED, UNKNOWN)

MAX_REFERENCE = 512  # characters; Meta's limit of biz_opaque_callback_data (providers.md 1.2)


@dataclass(frozen=True, slots=True)
class Template:
    """A reviewed or shared text with named parameters.

    ``name`` and ``language`` as the service knows them (``izin_selesai``, ``id``); ``parameters`` as
    (name, value) pairs in ``parameter_list`` order; ``body`` the text with ``{{named}}`` placeholders;
    ``fonnte_variables`` asks Fonnte to fill the text in by its own variables where that is possible;
    ``twilio_content_sid`` is the reviewed template at Twilio, empty when there is none.
    """

    name: str
    language: str
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: str = field(default="", repr=False)
    fonnte_variables: bool = False
    twilio_content_sid: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one person.

    ``phone`` is E.164 with its plus; ``text`` the complete rendered text; ``template`` is set when the
    message may go out as a stored template; ``reference`` is our own id (at most 512 characters), given to
    the services that echo one.
    """

    phone: str = field(repr=False)
    text: str = field(repr=False)
    template: Template | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What is needed to speak to one service as one sender. Hashable.

    ``base_url`` empty means the service's own address. ``sender_id`` is Meta's phone-number id, Fonnte's
    device (optional), Watzap's ``number_key``, Twilio's WhatsApp number, WAHA's session (empty: ``default``);
    ``account_id`` Meta's WABA id, Twilio's account SID; ``timeout`` is (connect, read) in seconds.
    ``sender_id`` is hidden like the token because Watzap's number key is a secret. ``app_secret`` is what the
    service signs its webhooks with (Meta's app secret, WAHA's HMAC key, Twilio's next auth token; several,
    separated by blanks or commas, while one is exchanged for another); ``verify_token`` our word in Meta's
    webhook verification.
    ``callback_url`` is the public address of our webhook, for the services that are told it with each message
    (Twilio); empty when they could not reach it.
    """

    provider_type: str
    base_url: str
    api_token: str = field(repr=False)
    sender_id: str = field(default="", repr=False)
    account_id: str = ""
    api_version: str = ""
    timeout: tuple[float, float] = (5.0, 30.0)
    app_secret: str = field(default="", repr=False)
    verify_token: str = field(default="", repr=False)
    callback_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of handing one message to one provider.

    ``outcome`` is ``ACCEPTED``, ``REFUSED`` or ``UNKNOWN``; exactly the ``UNKNOWN`` ones have the class
    ``interrupted``. ``error_class`` is one of :data:`errors.CLASSES` (empty when accepted), ``scope`` says
    what is concerned (:data:`errors.SCOPES`), ``error_code`` is the service's own code, ``error_message`` a
    sentence for an admin without secrets and without the recipient's number. ``opt_out`` is true when the
    person told the service to stop. ``retry_after`` is in seconds.
    """

    outcome: str
    message_id: str = ""
    error_class: str = ""
    error_code: str = ""
    error_message: str = ""
    scope: str = ""
    opt_out: bool = False
    retry_after: float | None = None
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a connection test: whether messages would go out now, a sentence, and facts to show."""

    ok: bool
    message: str
    details: dict[str, str] = field(default_factory=dict)
