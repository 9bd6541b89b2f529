"""Secrets in foreign text, blotted out: what an ERP echoes of a request may hold our own.

A name such as ``client_secret``, ``accessToken`` or ``X-API-Key`` makes a secret of what stands behind it, in query strings, form bodies,
JSON (also inside a JSON text), headers, XML and dictionaries as Python prints them. All repetitions are bounded or possessive, so that the time
grows with the text's length alone; a text without such a name is only searched for a few words.
"""

import re

__all__ = ["redacted"]

_HINTS = (
    *("secret", "passw", "passphrase", "pwd", "token", "credential", "key", "assertion", "sig", "session", "jwt"),
    *(
        "authorization",
        "bearer",
        "basic",
        "cookie",
        "pass",
        "connectionstring",
        "connection_string",
        "connection string",
    ),
    *("://", "eyj", "private key"),
)
_KEYS = (
    r"(?:api|access|private|secret|subscription|functions?|shared|account|signing|encryption|master|auth|app|license)"
)
_NAME = rf"""
    (?: secret | passw(?:or)?d | passphrase | (?<![a-z])pwd | (?<![a-z])pass(?![a-z]) | token | credentials?
      | {_KEYS}[-_ ]?key | assertion | (?<![a-z])sig(?:nature)?(?![a-z]) | session(?:[-_ ]?id)? | (?<![a-z])jwt(?![a-z])
      | authorization | connection[-_ ]?string )
    (?: s(?![a-z]) | [_.-][\w.-]{{0,40}} | (?-i:[A-Z])\w{{0,40}} | \d{{1,4}} )?
"""
_SEPARATOR = r"""
    (?: (?:\]|%5d)? ["'\\]{0,4} \s{0,8} (?: => | [:=] | %3[ad] ) \s{0,8} | ["'] \s{0,8} , \s{0,8} (?=["']) )
"""
_NAMED = re.compile(
    rf"""
    ({_NAME}) ({_SEPARATOR})
    (?: (") (?:[^"\\]|\\.)*+ | (') (?:[^'\\]|\\.)*+ | (\\{{1,3}}["']) [^"'\\]*+ | (\[) [^\]]*+ | (\{{) [^}}]*+
      | digest \s [^\r\n]*+
      | (?: (?:bearer|basic|negotiate|token|apikey) (?:\s|%20|\+){{1,8}} )? (?P<bare> [^\s&;,"'<>{{}}\[\]()\\]++ ) )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_IN_XML = re.compile(rf"({_NAME}) (\s{{0,4}}>) [^<>]++ (?=</)", re.IGNORECASE | re.VERBOSE)
_COOKIE = re.compile(r"""(cookie)(["'\\]{0,4}\s{0,8}[:=]\s{0,8}["'\\]{0,4})[^\r\n"'\\]++""", re.IGNORECASE)
_SPOKEN = re.compile(
    r"(?<![a-z])(bearer|basic|token|secret|password|passwd|api[-_ ]?key|session|authorization)(\s{1,8})"
    r"[A-Za-z0-9+/=_.~\-]{8,}+",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(://[^/\s:@?#]{1,100}:)[^/\s@]{1,300}(?=@)")
_BARE = re.compile(
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*+)?"
    r"|(?<=PRIVATE KEY-----)[^-]++"
)
_TELLING = frozenset(
    "expired invalid missing required wrong null none true false empty is are the must not was has unknown refused revoked".split()  # noqa: SIM905 - a list of words
)


def redacted(text: str) -> str:
    """The text with ``***`` in place of each secret."""
    lowered = text.lower()
    for hint in _HINTS:  # not any(): a generator costs most of what this costs
        if hint in lowered:
            break
    else:
        return text
    text = _IN_URL.sub(r"\1***", _BARE.sub("***", text))
    text = _COOKIE.sub(r"\1\2***", _NAMED.sub(_blot, text))
    return _SPOKEN.sub(r"\1\2***", _IN_XML.sub(r"\1\2***", text))


def _blot(found: "re.Match[str]") -> str:
    """A word that tells what is wrong with the secret is none."""
    if (found["bare"] or "").lower().rstrip(".:!") in _TELLING:
        return found[0]
    return "".join(part or "" for part in found.groups()[:-1]) + "***"
