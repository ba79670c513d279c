"""Check study files and keys on Snakemake's command line, and recognise a misplaced target among them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean, one_line
from asrmeter.common.printable import printable
from asrmeter.study import ownership, yaml_file

_STUDY_NAMES = (".yaml", ".yml", ".json")
_MOST_SHOWN = 80


def read_study(path: Path) -> dict[str, Any]:
    """Return the content of a file of --configfile.

    Raises:
        AsrmeterError: the file is not a study. The message says if it may be a target.
    """
    try:
        return yaml_file.read(path)
    except AsrmeterError as error:
        if path.suffix in _STUDY_NAMES:
            raise
        raise AsrmeterError(f"{error}; {_targets_first('--configfile', str(path))}") from error


def check_studies(files: Sequence[str]) -> None:
    """Check the files of a study in the order in which they are read.

    Raises:
        AsrmeterError: a file is not a study, or is the study that a run saved beside its results.
    """
    for number, file in enumerate(files):
        if number and Path(file).name == ownership.FILE:
            raise AsrmeterError(f"{file}: would be a second study; {_targets_first('--configfile', file)}")
        read_study(Path(file))


def bad_key(entries: Iterable[str], error: ValueError) -> AsrmeterError:
    """Return the error if Snakemake does not understand the keys of --config."""
    odd = next((entry for entry in entries if "=" not in entry), None)
    if odd is None:
        return AsrmeterError(f"--config: {one_line(error).rstrip('.')}; give KEY=VALUE")
    return AsrmeterError(f"--config: {_shown(odd)} is not KEY=VALUE; {_targets_first('--config', odd)}")


def no_such_target(target: str, rules: Sequence[str], results: str, source: str) -> AsrmeterError:
    """Return the error about a target that no rule makes; `rules` are possible targets."""
    hint = did_you_mean(target, rules)
    return AsrmeterError(
        f"{_shown(target)}: there is no such target{hint}; targets are {', '.join(rules)}, and the files that a run of "
        f"{source} makes below {results}/"
    )


def _targets_first(option: str, word: str) -> str:
    return f"{option} takes all following words: put targets before it (snakemake {_shown(word)} {option} ...)"


def _shown(word: str) -> str:
    return printable(word, _MOST_SHOWN)
