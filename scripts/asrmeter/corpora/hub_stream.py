"""One split of a dataset on the Hub, streamed by `datasets` and cached, so nothing is downloaded twice."""

import io
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import datasets
import pyarrow.dataset

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import write_atomically
from asrmeter.common.log_progress import log_progress
from asrmeter.corpora.audio import decode
from asrmeter.corpora.clip_cache import ClipCache
from asrmeter.corpora.level import SilentError
from asrmeter.corpora.manifest import SILENT_S
from asrmeter.corpora.segments import Sound
from asrmeter.sources import hub

Row = dict[str, Any]
# The branch on which the Hub keeps its own Parquet copy of a dataset.
_CONVERTED = "refs/convert/parquet"
# Retries beyond those of huggingface_hub, which take half a minute; the default retries for ten minutes.
_MAX_RETRIES = 2
# Read-ahead of the file system behind a stream; the default is 5 MiB, for tables of a few kB.
_READ_AHEAD_BYTES = 2**16


class Split(Protocol):
    """The options that name a split, for kinds of corpora on the Hub."""

    @property
    def id(self) -> str:
        """The dataset, owner/name."""

    @property
    def config(self) -> str | None:
        """Its configuration; None: the default one."""

    @property
    def split(self) -> str:
        """The split's name."""

    @property
    def revision(self) -> str:
        """Branch, tag or commit."""


class HubStream:
    """A split of a dataset, and its column of audio.

    Rows and clips are cached below `downloads`, in a folder for the dataset and its commit.
    """

    def __init__(self, split: Split, audio: str, downloads: Path) -> None:
        self._id, self._config, self._split = split.id, split.config, split.split
        home = downloads / "datasets" / _name(self._id)
        self._commit = hub.commit_of("dataset", self._id, split.revision, home / _name("ref", split.revision))
        self._folder = home / self._commit / _name(self._config or "default", self._split)
        self._audio = audio
        # Whether the configuration is a folder of the Hub's own copy, which has no card that names configurations.
        self._in_folder = split.revision == _CONVERTED and self._config is not None
        self.clips = ClipCache(self._folder / _name("clips", audio))
        _set_up_datasets()

    @property
    def origin(self) -> dict[str, Any]:
        """The source of the speech, for the record."""
        return {"dataset": self._id, "config": self._config, "split": self._split, "commit": self._commit}

    def card_languages(self) -> list[str]:
        """Return the languages on the card of the dataset, as written there; none without the Hub."""
        try:
            return hub.card_languages(self._id, self._folder.parent / "card-languages.json")
        except hub.Unreachable:
            logging.info("%s: the Hub cannot be reached, so its card is not read", self._id)
            return []

    def read_columns(self, columns: Sequence[str]) -> list[Row]:
        """Return these columns of every row, class labels by their names. Only these columns are downloaded.

        Raises:
            AsrmeterError: the dataset cannot be read, or lacks a column.
        """
        cache = self._folder / f"{_name('rows', *columns)}.json"
        rows: list[Row] = _read_cached(cache, lambda row: row.keys() >= set(columns))
        if not rows:
            with self._explained():
                self._check(columns)
                rows = [dict(row) for row in _named_labels(self._open(columns=list(columns)))]
            write_atomically(cache, json.dumps(rows))
        return rows

    def fetch(self, clip_ids: Sequence[str], id_column: str) -> dict[str, str]:
        """Fetch the clips of some rows into `clips`; return those that cannot be decoded, each with the reason.

        Raises:
            AsrmeterError: the dataset cannot be read, or lacks a clip that it lists.
        """
        missing = [clip_id for clip_id in clip_ids if clip_id not in self.clips]
        unfit: dict[str, str] = {}
        if missing:
            logging.info("%s: %d of %d clips to fetch", self._id, len(missing), len(clip_ids))
            with self._explained():
                chosen = self._open(columns=[id_column, self._audio], filters=[(id_column, "in", missing)])
                for row in log_progress(self._undecoded(chosen), "clips", len(missing)):
                    try:
                        sound = _decode_audio(row[self._audio])
                    except AsrmeterError as error:
                        unfit[row[id_column]] = str(error)
                    else:
                        self.clips.add(row[id_column], sound)
        absent = [clip_id for clip_id in missing if clip_id not in self.clips and clip_id not in unfit]
        if absent:
            raise AsrmeterError(
                f"dataset {self._id}: {len(absent)} clips are missing, the first is {absent[0]}; run again"
            )
        return unfit

    def read_all(self, text_column: str | None) -> list[Row]:
        """Read every row and its clip; return `id`, `text` and `seconds` of each, or the reason as `unfit`.

        A row without text in whose clip nothing can be heard is `silent`, which is its reason too.

        The text is unchanged, and empty without a column. A stream that was cut off continues with the row group in
        which it stopped. A row group with a damaged clip is read again.

        Raises:
            AsrmeterError: the dataset cannot be read, or lacks a column, or the column of texts has other values.
        """
        columns = [self._audio] if text_column is None else [text_column, self._audio]
        cache = self._folder / f"{_name('all', *columns)}.json"
        groups: list[list[Row] | None] = [entry["rows"] for entry in _read_cached(cache, lambda entry: "rows" in entry)]
        groups = [group if group is not None and self._is_whole(group) else None for group in groups]
        if not groups or None in groups:
            with self._explained():
                self._check(columns)
                stream = self._undecoded(self._open(columns=columns)).reshard()
                groups = groups or [None] * stream.num_shards
                missing = [i for i, group in enumerate(groups) if group is None]
                for i in log_progress(missing, "row groups", len(missing)):
                    first = sum(len(group or []) for group in groups[:i])
                    groups[i] = [
                        self._decode_row(f"row-{first + k:06d}", row, text_column)
                        for k, row in enumerate(_named_labels(stream.shard(len(groups), i)))
                    ]
                    write_atomically(cache, json.dumps([{"rows": group} for group in groups]))
        return [row for group in groups for row in group or []]

    def _is_whole(self, group: list[Row]) -> bool:
        return all(("unfit" in row and "silent" not in row) or row["id"] in self.clips for row in group)

    def _undecoded(self, stream: Any) -> Any:
        # `datasets` itself needs torchcodec and FFmpeg to decode.
        return stream.cast_column(self._audio, datasets.Audio(decode=False))

    def _explained(self) -> Any:
        return hub.explained("dataset", self._id, self._commit)

    def _open(self, **options: Any) -> Any:
        """Return the split as a stream of Parquet rows; `columns` and `filters` keep the rest from being read."""
        # `datasets` does not say whether the token is missing or refused, or its account has not accepted the terms.
        hub.check_access("dataset", self._id, self._commit)
        try:
            if self._in_folder:
                try:
                    return self._load(None, data_dir=self._config, **options)
                except datasets.data_files.EmptyDatasetError as error:
                    raise AsrmeterError(f"dataset {self._id}: it has no configuration {self._config}") from error
            try:
                return self._load(self._config, **options)
            except ValueError as error:
                if "BuilderConfig" not in str(error):
                    raise
                # It may be a commit of the Hub's own copy, as a record of a corpus names it.
                try:
                    stream = self._load(None, data_dir=self._config, **options)
                except (ValueError, FileNotFoundError):
                    raise error from None
                self._in_folder = True
                return stream
        except RuntimeError as error:
            if "scripts are no longer supported" in str(error):
                raise self._not_parquet("a script, and asrmeter does not run foreign code") from error
            raise
        except ValueError as error:
            if "fragment_scan_options" in str(error):
                raise self._not_parquet("not in Parquet") from error
            # An unknown configuration or split; the message names the known ones.
            raise AsrmeterError(f"dataset {self._id}: {' '.join(str(error).split())}") from error

    def _load(self, config: str | None, **options: Any) -> Any:
        return datasets.load_dataset(
            self._id,
            config,
            split=self._split,
            revision=self._commit,
            streaming=True,
            storage_options={"hf": {"block_size": _READ_AHEAD_BYTES}},
            # No thread that reads ahead: one that still reads when the process ends makes it crash.
            fragment_scan_options=pyarrow.dataset.ParquetFragmentScanOptions(
                pre_buffer=False, page_checksum_verification=True
            ),
            **options,
        )

    def _not_parquet(self, why: str) -> AsrmeterError:
        return AsrmeterError(
            f"dataset {self._id}: it is {why}; use the Hub's own copy with corpus.revision: {_CONVERTED}"
        )

    def _check(self, columns: Sequence[str]) -> None:
        has = self._open().column_names
        missing = [column for column in columns if has and column not in has]
        if missing:
            raise AsrmeterError(
                f"dataset {self._id}: it has no column {', '.join(missing)}; it has {', '.join(has)}: "
                "name the right one in corpus"
            )

    def _decode_row(self, clip_id: str, row: Row, text_column: str | None) -> Row:
        text = "" if text_column is None else row[text_column]
        if not isinstance(text, str | None):
            raise AsrmeterError(
                f"dataset {self._id}: corpus.text names a column of {type(text).__name__} values, not of texts"
            )
        lacks_text = text_column is not None and not any(map(str.isalnum, text or ""))
        try:
            sound = _decode_audio(row[self._audio])
        except SilentError as error:
            if not lacks_text and text:
                return {"id": clip_id, "unfit": str(error)}
            self.clips.add(clip_id, Sound(error.samples[: SILENT_S * SAMPLE_RATE_HZ]))
            return {"id": clip_id, "unfit": str(error), "silent": True}
        except AsrmeterError as error:
            return {"id": clip_id, "unfit": "has no text" if lacks_text else str(error)}
        if lacks_text:
            return {"id": clip_id, "unfit": "has no text"}
        self.clips.add(clip_id, sound)
        return {"id": clip_id, "text": text, "seconds": len(sound.samples) / SAMPLE_RATE_HZ}


def _set_up_datasets() -> None:
    # A stream would import torch, which takes two seconds and is not used here.
    datasets.config.TORCH_AVAILABLE = False
    datasets.disable_progress_bars()
    # Its warnings about retries would clutter the log; errors are raised anyway.
    datasets.logging.set_verbosity_error()
    # It would report each load to another host than the Hub.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = _MAX_RETRIES


def _read_cached(path: Path, is_ours: Callable[[Row], bool]) -> list[Any]:
    """Return the list in a cache file; an empty list if there is no file or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    whole = isinstance(found, list) and all(isinstance(entry, dict) and is_ours(entry) for entry in found)
    return found if whole else []


def _decode_audio(audio: Row | None) -> Sound:
    """Return the sound of a value of the undecoded column.

    Raises:
        AsrmeterError: it cannot be decoded.
    """
    if audio is None or audio["bytes"] is None:
        raise AsrmeterError("has no audio in the table")
    return decode(io.BytesIO(audio["bytes"]))


def _named_labels(stream: Any) -> Iterable[Row]:
    labels = {
        name: feature for name, feature in (stream.features or {}).items() if isinstance(feature, datasets.ClassLabel)
    }
    for row in stream:
        yield row | {name: labels[name].int2str(row[name]) for name in labels if row[name] is not None}


def _name(*parts: str) -> str:
    """Return a file name that is unique for these parts."""
    return "--".join(quote(part, safe=" ") for part in parts)
