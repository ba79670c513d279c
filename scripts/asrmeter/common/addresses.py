"""Remove passwords, tokens and signatures from addresses in texts. Standard library only."""

import re

_HIDDEN = "***"
_SCHEME = r"\b[a-z][a-z0-9+.-]{0,20}:/{1,3}"
# Patterns of secrets, and their replacements.
_SECRETS = (
    # User and password: everything before the last @ of the host, as clients read it.
    (re.compile(rf"({_SCHEME}|//)[^\s/?#]*@", re.I), rf"\1{_HIDDEN}@"),
    # A password with an unencoded slash, question mark or number sign.
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
    """Return True if a text contains a password or a token of the Hub."""
    return without_secrets(text).count(_HIDDEN) > text.count(_HIDDEN)


def without_secrets(text: str) -> str:
    """Return a text without tokens of the Hub, and without user, password and query in its addresses."""
    if not any(sign in text for sign in ("@", "?", "#", "hf_")):
        return text
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text
