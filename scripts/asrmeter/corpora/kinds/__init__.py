"""The kinds of corpora: a module for each, named as the study's `corpus.kind`. Adding one is a file; its class
is named below.

The planner asks them at every start: their modules import the standard library only, heavy libraries inside `load`.
"""

import importlib
from pathlib import Path
from typing import Any

from asrmeter.corpora.kinds.base import CorpusKind, Speech
from asrmeter.corpora.kinds.folder import FolderCorpus
from asrmeter.corpora.kinds.gigaspeech import GigaSpeechCorpus
from asrmeter.corpora.kinds.hub import HubCorpus
from asrmeter.corpora.kinds.packages import PackagesCorpus

# In the order of the schema.
CLASSES: tuple[type[CorpusKind], ...] = (PackagesCorpus, GigaSpeechCorpus, HubCorpus, FolderCorpus)


def from_json(options: dict[str, Any]) -> CorpusKind:
    """Return the corpus that `CorpusKind.as_json` has described."""
    classes = {corpus_class.__module__.rpartition(".")[2]: corpus_class for corpus_class in CLASSES}
    return classes[options["kind"]](**options)


def load(corpus: CorpusKind, downloads: Path) -> Speech:
    """Return the speech of a corpus; `downloads` is the folder of the archives, and of anything worth keeping.

    Raises:
        AsrmeterError: the speech cannot be read.
    """
    speech: Speech = importlib.import_module(f"{__name__}.{corpus.kind}").load(corpus, downloads)
    return speech
