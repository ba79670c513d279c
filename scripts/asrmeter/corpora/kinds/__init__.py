"""The kinds of corpora, named as the study's `corpus.kind`. Adding one is a class in a file here, named below.

The planner asks them at every start: their modules import the standard library only, heavy libraries inside `load`.
"""

import importlib
from typing import Any

from asrmeter.corpora.kinds.base import CorpusKind

# Kind -> module:class. Written out, so that readers and tests see what is imported.
CLASSES = {
    "packages": "asrmeter.corpora.kinds.packages:PackagesCorpus",
    "gigaspeech": "asrmeter.corpora.kinds.gigaspeech:GigaSpeechCorpus",
    "hub": "asrmeter.corpora.kinds.hub:HubCorpus",
    "folder": "asrmeter.corpora.kinds.folder:FolderCorpus",
}


def kind(name: str) -> type[CorpusKind]:
    """Return the class of a kind of corpus."""
    module, class_name = CLASSES[name].split(":")
    corpus_kind: type[CorpusKind] = getattr(importlib.import_module(module), class_name)
    return corpus_kind


def from_json(options: dict[str, Any]) -> CorpusKind:
    """Return the corpus that `CorpusKind.as_json` has described."""
    return kind(options["kind"])(**options)
