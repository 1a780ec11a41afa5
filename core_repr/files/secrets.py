"""What must not be printed: passwords and signatures in addresses, and tokens."""

from __future__ import annotations

import re

_HIDDEN = "…"
_PATTERNS = (
    # https://user:password@host
    (re.compile(r"(?<=://)[^/\s'\"]*@"), f"{_HIDDEN}@"),
    # https://host/path?signature=...
    (re.compile(r"(://[^\s'\"?]*\?)[^\s'\"]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",;)]+"), rf"\1 {_HIDDEN}"),
    (re.compile(r"\bhf_\w+"), _HIDDEN),
)


def redact(text: str, *known: object) -> str:
    """Returns a text without secrets.

    Args:
        text: A message or an address.
        known: Secrets that have no form by which they could be found, such as a token that was
            passed; what is not a string is left out.
    """
    for secret in known:
        if isinstance(secret, str) and secret.strip():
            for form in (secret, secret.strip(), repr(secret)[1:-1]):
                text = text.replace(form, _HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
