"""A runtime of one's own: a Python file that a study names, with a subclass of `asrmeter.runtimes.base.Runtime`."""

import hashlib
import importlib.util
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import sha256_of
from asrmeter.common.languages import languages
from asrmeter.common.options import FORBID_OTHERS, TEXT
from asrmeter.common.vocabulary import DIFFERENCES, STAGES
from asrmeter.runtimes.base import (
    RUNTIME,
    DeviceMemory,
    Effective,
    Hypothesis,
    Runtime,
    RuntimeOptions,
    Setup,
    SpeechBatch,
    Timeline,
    UnsupportedError,
    options_config,
)

if TYPE_CHECKING:
    from asrmeter.machine import cuda

Result = TypeVar("Result")
# The name under which the file is imported.
_MODULE = "asrmeter_own_runtime"


class OwnFileError(AsrmeterError):
    """The code in a file of one's own failed. The message names the file and the method."""


@dataclass(frozen=True, kw_only=True)
class PythonFile:
    """Which file runs the models, and what its class is told."""

    __pydantic_config__: ClassVar = FORBID_OTHERS

    path: str = field(
        metadata=TEXT
        | {
            "description": "A Python file with a subclass of asrmeter.runtimes.base.Runtime; ~ is your home, and a "
            "relative path starts in the folder where Snakemake runs."
        }
    )
    sha256: str | None = field(
        default=None,
        metadata={
            "description": "sha256 of the file; any other content is refused. null: not pinned.",
            "pattern": "^[0-9a-f]{64}$",
        },
    )
    options: Mapping[str, str | int | float | bool | None] = field(
        default_factory=dict,
        metadata={
            "description": "Options for the class, in setup.options.",
            "json_schema_extra": {"default": {}},
        },
    )

    def __post_init__(self) -> None:
        """Take the hash of the file where the study does not pin it: a change of the file measures its cells again."""
        if self.sha256 is None and self.place.is_file():
            object.__setattr__(self, "sha256", sha256_of(self.place))

    @property
    def place(self) -> Path:
        """The file."""
        return Path(os.path.expanduser(self.path))


@dataclass(frozen=True, kw_only=True)
class OwnFileOptions(RuntimeOptions):
    """How a file of one's own runs a model."""

    __pydantic_config__: ClassVar = options_config("own_file", "Run by your own Python file.")

    runtime: PythonFile = field(metadata=RUNTIME)

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        return {"runtime": vars(self.runtime) | {"options": dict(self.runtime.options)}}

    def check(self) -> None:
        """Raise AsrmeterError if there is no such file, it is not Python, or not the one that is pinned."""
        file = self.runtime.place
        try:
            content = file.read_bytes()
            compile(content, str(file), "exec", dont_inherit=True)
        except OSError as error:
            raise AsrmeterError(f"runtime.path: {self.runtime.path} cannot be read ({error.strerror})") from error
        except (SyntaxError, ValueError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            why = error.msg if isinstance(error, SyntaxError) else one_line(error)
            raise AsrmeterError(f"runtime.path: {self.runtime.path}{line} is not Python ({why})") from error
        if (found := hashlib.sha256(content).hexdigest()) != self.runtime.sha256:
            raise AsrmeterError(
                f"runtime.sha256: {self.runtime.path} has sha256 {found}, but the study pins another; leave "
                "sha256 out to measure the file as it is"
            )


OPTIONS = OwnFileOptions


def load(setup: Setup) -> Runtime:
    """Run the file and load the model with its class. The options are those of `PythonFile`.

    Raises:
        AsrmeterError: the file is not the one that was planned with.
        OwnFileError: it cannot be run, has no such class, or its class fails.
    """
    own = PythonFile(**setup.options)
    name = own.place.name
    if sha256_of(own.place) != own.sha256:
        raise AsrmeterError(f"{own.path}: has changed since the run was planned; start the run again")
    module = _call(name, "the file", lambda: _imported(own.place))
    return CheckedRuntime(name, _runtime_class(module, name), replace(setup, options=own.options))


def preload() -> None:
    """Import nothing: what a file needs is not known before it runs."""


def _imported(path: Path) -> ModuleType:
    """Import a file under a name of its own. It can import the modules beside it."""
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ImportError("its name does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    sys.path.append(str(path.resolve().parent))
    spec.loader.exec_module(module)
    return module


class CheckedRuntime(Runtime):
    """A runtime of one's own, with what its methods raise or return named by file and method."""

    def __init__(self, file: str, own: type[Runtime], setup: Setup) -> None:
        self._file, self._class = file, own.__name__
        self._own: Runtime = self._call("__init__", lambda: own(setup))

    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """See `Runtime`; what is returned must be a `Hypothesis` for each waveform."""
        found = self._call("transcribe", lambda: self._own.transcribe(speech, timeline))
        if not isinstance(found, list | tuple) or not all(isinstance(one, Hypothesis) for one in found):
            raise self._wrong("transcribe", f"returned {_shown(found)}, not a Hypothesis for each segment")
        if len(found) != len(speech.waveforms):
            raise self._wrong("transcribe", f"returned {len(found)} texts for {len(speech.waveforms)} segments")
        if wrong := next((why for one in found if (why := _why_unusable(one))), None):
            raise self._wrong("transcribe", f"returned {wrong}")
        if others := set(timeline.stages) - set(STAGES):
            raise self._wrong("transcribe", f"marked {min(others)!r}, and the stages are {', '.join(STAGES)}")
        return list(found)

    def decoding(self) -> dict[str, Any]:
        """See `Runtime`."""
        found = self._call("decoding", self._own.decoding)
        try:
            json.dumps(found, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise self._wrong("decoding", f"returned a value that JSON cannot represent: {one_line(error)}") from error
        if not isinstance(found, dict):
            raise self._wrong("decoding", f"returned {_shown(found)}, not a dict of settings")
        return found

    def effective(self) -> Effective:
        """See `Runtime`."""
        found = self._call("effective", self._own.effective)
        if not isinstance(found, Effective):
            raise self._wrong("effective", f"returned {_shown(found)}, not an Effective")
        kinds = {"threads": int, "emulated": bool}
        for name, value in vars(found).items():
            if not isinstance(value, kinds.get(name, str)) and value is not None:
                raise self._wrong("effective", f"returned {_shown(value)} for {name}")
        return found

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`; of what a user's class returns, the words that are known."""
        found = self._call("differences", self._own.differences)
        return tuple(word for word in DIFFERENCES if word in found)

    def compile_s(self) -> float | None:
        """See `Runtime`."""
        return self._call("compile_s", self._own.compile_s)

    def n_compile_cache_hits(self) -> int | None:
        """See `Runtime`."""
        return self._call("n_compile_cache_hits", self._own.n_compile_cache_hits)

    def versions(self) -> dict[str, str]:
        """See `Runtime`."""
        return {package: str(version) for package, version in self._call("versions", self._own.versions).items()}

    def timeline(self) -> Timeline:
        """See `Runtime`."""
        return self._call("timeline", self._own.timeline)

    def synchronize(self) -> None:
        """See `Runtime`."""
        self._call("synchronize", self._own.synchronize)

    def check_scores(self) -> AbstractContextManager[None]:
        """See `Runtime`."""
        return self._call("check_scores", self._own.check_scores)

    def gpu(self) -> "cuda.Gpu | None":
        """See `Runtime`."""
        return self._call("gpu", self._own.gpu)

    def device_memory(self) -> DeviceMemory | None:
        """See `Runtime`."""
        return self._call("device_memory", self._own.device_memory)

    def close(self) -> None:
        """See `Runtime`."""
        self._call("close", self._own.close)

    def _call(self, method: str, run: Callable[[], Result]) -> Result:
        return _call(self._file, f"{self._class}.{method}", run)

    def _wrong(self, method: str, what: str) -> OwnFileError:
        return OwnFileError(f"{self._file}: {self._class}.{method} {what}")


def _call(file: str, what: str, run: Callable[[], Result]) -> Result:
    """Run something of the file; an error of any kind is told with the file and the method."""
    try:
        return run()
    except (UnsupportedError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # even SystemExit: only the measurement may end the process
        if type(error).__name__ == "OutOfMemoryError":  # torch's
            raise
        line = next((f", line {line}" for line in _lines_in(error)), "")
        raise OwnFileError(f"{file}: {what} raised {type(error).__name__}: {one_line(error)}{line}") from error


def _lines_in(error: BaseException) -> Iterator[int]:
    """Yield the lines of the user's file in a traceback, the innermost first."""
    if isinstance(error, SyntaxError) and error.lineno:
        yield error.lineno
    traceback, lines = error.__traceback__, []
    while traceback:
        if traceback.tb_frame.f_globals.get("__name__") == _MODULE:
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    yield from reversed(lines)


def _runtime_class(module: ModuleType, file: str) -> type[Runtime]:
    """Return the subclass of `Runtime` that a file defines.

    Raises:
        OwnFileError: there is none, there are several, or it lacks a method.
    """
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Runtime) and value.__module__ == _MODULE
    ]
    # A class that others are derived from is a base of the user's own.
    found = [one for one in found if not any(one is not other and issubclass(other, one) for other in found)]
    if len(found) != 1:
        named = ", ".join(one.__name__ for one in found) or "none"
        raise OwnFileError(
            f"{file}: must define one class that is derived from asrmeter.runtimes.base.Runtime; there is {named}"
        )
    if missing := sorted(found[0].__abstractmethods__):
        raise OwnFileError(f"{file}: {found[0].__name__} lacks the method {', '.join(missing)}")
    return found[0]


def _why_unusable(heard: Hypothesis) -> str | None:
    """Return what a record cannot hold of a hypothesis, None if it can hold all."""
    if not isinstance(heard.text, str):
        return f"{_shown(heard.text)} for a text"
    try:
        heard.text.encode()
    except UnicodeEncodeError as error:
        return f"a text with half of a character ({error.reason})"
    for name in ("n_tokens", "n_windows"):
        count = getattr(heard, name)
        if count is not None and not (isinstance(count, int) and 0 <= count < 2**31):
            return f"{_shown(count)} for {name}, which is a count"
    if not (heard.language is None or (isinstance(heard.language, str) and heard.language in languages())):
        said = repr(heard.language)[:50] if isinstance(heard.language, str) else _shown(heard.language)
        return f"{said} for language, which is a code such as en, or None"
    seconds = heard.processed_s
    if seconds is not None and not (isinstance(seconds, int | float) and math.isfinite(seconds)):
        return f"{_shown(seconds)} for processed_s, which is in seconds"
    return None


def _shown(value: Any) -> str:
    """Return what kind of thing a value is, for a message."""
    if isinstance(value, list | tuple) and value:
        return f"a {type(value).__name__} of {type(value[0]).__name__}"
    if isinstance(value, int | float):
        return str(value)
    return "None" if value is None else f"a {type(value).__name__}"
