"""The kinds of corpora, named as the study's `corpus.kind`. Adding one is a class in a file here, named below.

The planner asks them at every start: their modules import the standard library only, heavy libraries inside `load`.
"""

import importlib

from asrmeter.corpora.kinds.base import CorpusKind

# Kind -> module:class. Written out, so that readers and tests see what is imported.
CLASSES = {
    "packages": "asrmeter.corpora.kinds.packages:PackagesCorpus",
    "folder": "asrmeter.corpora.kinds.folder:FolderCorpus",
    "hub": "asrmeter.corpora.kinds.hub:HubCorpus",
    "gigaspeech": "asrmeter.corpora.kinds.gigaspeech:GigaSpeechCorpus",
}


def kind(name: str) -> CorpusKind:
    """Return a kind of corpus; the schema of a study lists the names."""
    module, class_name = CLASSES[name].split(":")
    corpus_kind: CorpusKind = getattr(importlib.import_module(module), class_name)()
    return corpus_kind
