"""The terms of what is counted, words or characters, in the report's texts. Standard library only."""

import re
from collections.abc import Mapping

# What error rates count, as the tables say it. Words are usual, and what is said where nothing was scored; both where
# languages differ in it.
WORDS, CHARACTERS, BOTH = "words", "characters", "words and characters"
_PLACEHOLDER = re.compile(r"{(\w+)}")


def section_of(error_unit: str) -> str:
    """Return the section of a catalogue that has the terms for what is counted, such as `words and characters`."""
    return f"counted_{error_unit.replace(' ', '_')}"


def with_terms(text: str, terms: Mapping[str, str]) -> str:
    """Return a text with the terms in their places; the other places stay."""
    return _PLACEHOLDER.sub(lambda found: terms.get(found[1], found[0]), text)
