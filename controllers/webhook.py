"""What providers tell us: receipts, answers, opt-outs, changes of templates and senders."""

import hmac
import json
import logging

from odoo.http import Controller, Response, request, route

from ..providers import PROVIDERS, Hook, Malformed, provider_for
from .raw import read_body

_logger = logging.getLogger(__name__)


class WebhookController(Controller):
    @route(
        "/sicantik/webhook/<int:provider_id>/<string:token>",
        type="sicantik_raw",
        auth="public",
        methods=["GET", "POST"],
        csrf=False,
        save_session=False,
    )
    def webhook(self, provider_id, token):
        """Take what a provider tells: check it, keep it, answer. It is applied afterwards.

        GET is Meta's question whether the address is ours. Answers: 200; 400 for a body that is not the
        provider's; 403 for a wrong or missing signature; 404 for an unknown provider or path; 413 for more
        than 1 MiB. Errors are JSON: `{"error": "…"}`, and tell nothing else.
        """
        body = read_body(request.httprequest)
        if body is None:
            return self._refuse(413, "too_large")
        provider = self._find(provider_id, token)
        if not provider:
            return self._refuse(404, "not_found")
        adapter = provider_for(provider._account())
        hook = self._hook(provider, body)
        if hook.method != "POST":
            answer = self._ask(adapter, "challenge", hook)
            if answer is None:
                return self._refuse(403, "forbidden")
            return Response(answer, status=200, content_type="text/plain; charset=utf-8")
        if not self._ask(adapter, "is_authentic", hook):
            return self._refuse(403, "forbidden")
        events = self._ask(adapter, "read_events", hook)
        if events is None:
            return self._refuse(400, "malformed")
        request.env["sicantik.whatsapp.event"].sudo()._store(provider, events)
        text, content_type = adapter.webhook_answer()
        return Response(text, status=200, content_type=content_type)

    def _find(self, provider_id, token):
        """Give the provider whose address this is, an empty record when there is none."""
        # Larger numbers are no ids; the database would refuse them.
        provider = request.env["sicantik.whatsapp.provider"].sudo()
        if 0 < provider_id < 2**31:
            provider = provider.search([("id", "=", provider_id), ("active", "=", True)])
        expected = provider.webhook_token or ""
        same = hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace"))
        return provider if same and expected and provider.provider_type in PROVIDERS else provider.browse()

    def _hook(self, provider, body):
        """Give the call as its adapter reads it, at the address that the provider was told."""
        httprequest = request.httprequest
        query = httprequest.query_string.decode("ascii", "replace")
        return Hook(
            method=httprequest.method,
            body=body,
            headers=dict(httprequest.headers.items()),
            url=f"{provider.webhook_url}?{query}" if query else provider.webhook_url,
            query=httprequest.args.to_dict(),
        )

    def _ask(self, adapter, method, hook):
        """Call a method of an adapter by name; None when it cannot make anything of the call."""
        try:
            return getattr(adapter, method)(hook)
        except Malformed:
            return None
        except Exception as error:
            # Only its type: the text could quote the body.
            _logger.error("Webhook of %s: %s in %s", adapter.label, type(error).__name__, method)
            return None

    def _refuse(self, status, error):
        return Response(json.dumps({"error": error}), status=status, content_type="application/json")
