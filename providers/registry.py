"""Which class speaks to which service."""

from .base import Provider
from .fonnte import FonnteProvider
from .message import Account
from .meta import MetaProvider
from .twilio import TwilioProvider
from .waha import WahaProvider
from .watzap import WatzapProvider

PROVIDERS: dict[str, type[Provider]] = {
    provider.type: provider
    for provider in (MetaProvider, FonnteProvider, WatzapProvider, WahaProvider, TwilioProvider)
}


def provider_for(account: Account) -> Provider:
    """Return the provider that speaks for ``account``.

    :raises ValueError: when no provider has the account's ``provider_type``.
    """
    try:
        provider = PROVIDERS[account.provider_type]
    except KeyError:
        raise ValueError(f"No provider of type {account.provider_type!r}") from None
    return provider(account)
