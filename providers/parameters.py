"""Template parameters: from names to each service's own way of carrying them. Pure functions.

A master template has a body with ``{{named}}`` placeholders and a list of names. Meta, Twilio and Watzap
number the parameters from 1, Fonnte calls them ``var1``, ``var2`` … (contract.md 6; the seeds' "Parameter
Mapping").
Bodies are replaced in one pass: a ``{{name}}`` inside a *value* stays as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

Parameters = Sequence[tuple[str, str]]

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# Meta refuses line breaks, tabs and more than four blanks in a row inside a body parameter.
_REFUSED_BY_META = re.compile(r"\s*[\r\n\t]\s*| {5,}")


class MissingParameter(LookupError):
    """A text needs parameters that have no value. ``names`` holds all of them, in order."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = names

    def __str__(self) -> str:
        return "Missing template parameters: " + ", ".join(self.names)


def names_in(body: str) -> tuple[str, ...]:
    """Return the names of the placeholders of ``body``, each once, in order of first appearance."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(body)))


def render(body: str, values: Mapping[str, object]) -> str:
    """Return ``body`` with its placeholders filled in by ``values``.

    Values are turned into text by ``str``. An empty text is a value, ``None`` is not.

    :raises MissingParameter: naming every placeholder without a value.
    """
    texts = dict(ordered(names_in(body), values))
    return _replace(body, texts.__getitem__)


def ordered(parameter_list: Iterable[str], values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the (name, text) pairs of ``parameter_list``, in its order, for ``Template.parameters``.

    :raises MissingParameter: naming every parameter of the list without a value.
    """
    names = tuple(parameter_list)
    missing = [name for name in names if values.get(name) is None]
    if missing:
        raise MissingParameter(*missing)
    return tuple((name, str(values[name])) for name in names)


def to_meta(parameters: Parameters) -> list[dict[str, str]]:
    """Return Meta's positional body parameters (providers.md 1.2).

    Meta refuses an empty parameter (131008): it goes out as ``-`` (contract.md 7). Line breaks, tabs and long
    runs of blanks, refused as well, become one blank.
    """
    return [{"type": "text", "text": _for_meta(text)} for _name, text in parameters]


def to_twilio(parameters: Parameters) -> dict[str, str]:
    """Return the parameters as ``{"1": …, "2": …}``, cleaned as for Meta, to whom Twilio hands them on."""
    return {str(position): _for_meta(text) for position, (_name, text) in enumerate(parameters, 1)}


def to_watzap(parameters: Parameters) -> dict[str, str]:
    """Return the parameters as ``{"1": …, "2": …}``."""
    return {str(position): text for position, (_name, text) in enumerate(parameters, 1)}


def to_fonnte(parameters: Parameters) -> dict[str, str]:
    """Return the parameters as ``{"var1": …, "var2": …}``."""
    return {f"var{position}": text for position, (_name, text) in enumerate(parameters, 1)}


def meta_body(body: str, parameter_list: Sequence[str]) -> str:
    """Return ``body`` as Meta stores it: ``{{name}}`` becomes ``{{1}}`` by its place in ``parameter_list``.

    :raises MissingParameter: naming every placeholder that is not in the list.
    """
    return _renumbered(body, parameter_list, "{{%d}}")


def fonnte_body(body: str, parameter_list: Sequence[str]) -> str:
    """Return ``body`` with Fonnte's variables: ``{{name}}`` becomes ``{var1}`` by its place in the list.

    :raises MissingParameter: naming every placeholder that is not in the list.
    """
    return _renumbered(body, parameter_list, "{var%d}")


def _for_meta(text: str) -> str:
    return _REFUSED_BY_META.sub(" ", text).strip() or "-"


def _renumbered(body: str, parameter_list: Sequence[str], form: str) -> str:
    marks = {name: form % position for position, name in enumerate(parameter_list, 1)}
    missing = [name for name in names_in(body) if name not in marks]
    if missing:
        raise MissingParameter(*missing)
    return _replace(body, marks.__getitem__)


def _replace(body: str, text_of: Callable[[str], str]) -> str:
    return _PLACEHOLDER.sub(lambda match: text_of(match[1]), body)
