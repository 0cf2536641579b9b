"""Words by which a person opts out or in. Plain Python.

A word counts when it is the whole message, in any case, whatever stands around it: “stop”, “*STOP!*”. In
“STOP 12345” or “jangan berhenti” it is part of something else.
"""

import re
import unicodedata

OPT_OUT = "STOP, BERHENTI, UNSUBSCRIBE"
OPT_IN = "START, MULAI, YA"
# The words that take an opt-out back. “Ya” answers any question and does not.
LIFTING = frozenset({"start", "mulai"})
# How the value of a button begins that means the same (`STOP_1`).
STOP_PAYLOAD = "stop"


def normalized(text):
    """Give a text as words are compared: without case, widths, and what is around its first and last letter
    or digit.

    :param str text: what a person wrote
    :rtype: str
    """
    text = " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())
    return re.sub(r"^[\W_]+|[\W_]+$", "", text)


def read_words(setting, default):
    """Read a list of words from a setting.

    :param str setting: words or phrases, separated by commas, semicolons or line breaks
    :param str default: what counts when there is none among them
    :return: the words, normalized
    :rtype: frozenset[str]
    """

    def words(text):
        return frozenset(filter(None, map(normalized, re.split(r"[,;\n]", text or ""))))

    return words(setting) or words(default)


def wish_of(text, payload, opt_out, opt_in):
    """Tell what a message wishes.

    :param str text: the message, or the words on a button that was tapped
    :param str payload: the value of that button
    :param frozenset opt_out: normalized words
    :param frozenset opt_in: normalized words
    :return: "stop", "start" (also takes an opt-out back), "yes" (opts in), or "" for neither
    :rtype: str
    """
    said = {normalized(text), normalized(payload)} - {""}
    if said & opt_out or normalized(payload).startswith(STOP_PAYLOAD):
        return "stop"
    if said & LIFTING:
        return "start"
    return "yes" if said & opt_in else ""
