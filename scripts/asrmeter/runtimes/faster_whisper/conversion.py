"""The folders of faster-whisper are those of CTranslate2."""

from asrmeter.runtimes.ctranslate2.conversion import convert as convert
