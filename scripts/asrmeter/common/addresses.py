"""Addresses in texts, without what gives access: passwords, tokens, signatures. Standard library only."""

import re

_HIDDEN = "***"
_SCHEME = r"\b[a-z][a-z0-9+.-]{0,20}:/{1,3}"
# What gives access, and what is written instead of it.
_SECRETS = (
    # What stands before an @, up to the last one before the path, as clients take it.
    (re.compile(rf"({_SCHEME}|//)[^\s/?#]*@", re.I), rf"\1{_HIDDEN}@"),
    # A password with a slash, question mark or number sign in it, which should have been encoded.
    (re.compile(rf"({_SCHEME})(?!\*\*\*@)[^\s/?#@:\"'<>\[]*:(?!//)[^\s\"'<>]*@", re.I), rf"\1{_HIDDEN}@"),
    # A proxy may be written without a scheme: user:password@host.
    (re.compile(r"(?:^|(?<=[\s\"'<>()=,;]))[^\s/:@\"'<>()=,;]+:[^\s:@/\"'<>]+@(?=[\w\[])"), f"{_HIDDEN}@"),
    # The whole query: names of signatures differ from one store to the next, and none of them explains an error.
    (re.compile(rf"({_SCHEME}[^\s?#\"'<>]+)\?[^\s#\"'<>)]+", re.I), r"\1"),
    (re.compile(rf"({_SCHEME}[^\s#\"'<>]+)#[^\s=\"'<>)]*=[^\s\"'<>)]*", re.I), r"\1"),
    # The form of the Hub's own tokens.
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}"), f"hf_{_HIDDEN}"),
)


def has_secret(text: str) -> bool:
    """Tell whether a text has a password, or a token of the Hub."""
    return without_secrets(text).count(_HIDDEN) > text.count(_HIDDEN)


def without_secrets(text: str) -> str:
    """Return a text whose addresses have neither user and password nor a query, and that has no token of the Hub."""
    if not any(sign in text for sign in ("@", "?", "#", "hf_")):
        return text
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text
