"""What Snakemake's command line names: the files of a study, and keys of it. A target among them is told as one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean, one_line
from asrmeter.common.printable import printable
from asrmeter.study import ownership, yaml_file

_STUDY_NAMES = (".yaml", ".yml", ".json")
_MOST_SHOWN = 80


def read_study(path: Path) -> dict[str, Any]:
    """Return the content of a file that --configfile names.

    Raises:
        AsrmeterError: it is no study. It says so where it may be a target.
    """
    try:
        return yaml_file.read(path)
    except AsrmeterError as error:
        if path.suffix in _STUDY_NAMES:
            raise
        raise AsrmeterError(f"{error}; {_targets_first('--configfile', str(path))}") from error


def check_studies(files: Sequence[str]) -> None:
    """Check the files of a study as they are read.

    Raises:
        AsrmeterError: one of them is no study, or is the study that a run has saved beside its results.
    """
    for number, file in enumerate(files):
        if number and Path(file).name == ownership.FILE:
            raise AsrmeterError(f"{file}: would be a second study; {_targets_first('--configfile', file)}")
        read_study(Path(file))


def bad_key(entries: Iterable[str], error: ValueError) -> AsrmeterError:
    """Return what is wrong where Snakemake does not understand the keys of --config."""
    odd = next((entry for entry in entries if "=" not in entry), None)
    if odd is None:
        return AsrmeterError(f"--config: {one_line(error).rstrip('.')}; give KEY=VALUE")
    return AsrmeterError(f"--config: {_shown(odd)} is not KEY=VALUE; {_targets_first('--config', odd)}")


def no_such_target(target: str, rules: Sequence[str], results: str, source: str) -> AsrmeterError:
    """Return what to do about a target that no rule makes; `rules` are those that can be targets."""
    hint = did_you_mean(target, rules)
    return AsrmeterError(
        f"{_shown(target)}: there is no such target{hint}; targets are {', '.join(rules)}, and the files that a run of "
        f"{source} makes below {results}/"
    )


def _targets_first(option: str, word: str) -> str:
    return f"{option} takes all words that follow: name targets before it (snakemake {_shown(word)} {option} ...)"


def _shown(word: str) -> str:
    return printable(word, _MOST_SHOWN)
