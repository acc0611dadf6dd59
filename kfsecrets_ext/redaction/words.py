"""The rules in plain words: for people who ask why something was masked."""

from __future__ import annotations

__all__ = ["RULES", "explain"]

RULES = {
    # what was found
    "value": "the value",
    "line": "a line of the value",
    "leaf": "a field of the value's JSON",
    "assigned in the value": "what the value assigns to a name",
    "password in a URL": "the password in the value's URL",
    "password in an auth": "the password in the value's auth entry",
    "body of a key": "the body of the value's PEM block",
    "whole field": "the value, as a whole line, string or field",
    "failed": "the whole text, since masking failed",
    # how it was written
    "a piece": "a piece of it",
    "ascii()": "with non-ASCII characters escaped",
    "as Latin-1": "read as Latin-1",
    "as UTF-8": "read as UTF-8, which it is not",
    "base64": "in base64",
    "base64 of UTF-16": "in base64 of UTF-16",
    "hex": "in hexadecimal",
    "reversed": "written backwards",
    "URL": "escaped for a URL",
    "UTF-16": "in UTF-16",
    # how much of it
    "its beginning": "only its beginning",
}
"""A rule is parts, joined with commas; these are the parts."""


def explain(rule: str) -> str:
    """Say a finding's rule in plain words.

    Parameters
    ----------
    rule : str

    Returns
    -------
    str

    Examples
    --------
    >>> explain("value, base64, its beginning")
    'the value, in base64, only its beginning'
    """
    return ", ".join(RULES.get(part, part) for part in rule.split(", "))
