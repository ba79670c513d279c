"""A runtime of one's own: whatever its file does, the reason names the file and the method."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import measure
import profile_operators
from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.records import cell_record
from asrmeter.records.events import Memory, Ready
from asrmeter.records.header import RecordHeader
from asrmeter.runtimes.base import Hypothesis, Runtime, Setup, Timeline, UnsupportedError
from asrmeter.runtimes.own_file import OwnFileError
from helpers.made_inputs import sign_corpus, sign_model
from helpers.speech import english

HEAD = """
import sys, time
import numpy as np
from asrmeter.runtimes.base import *
class Engine(Runtime):
    packages = ("numpy",)
"""
INIT = "    def __init__(self, setup): self.setup, self.weights = setup, np.ones(10_000_000)\n"
TRANSCRIBE = """
    def transcribe(self, speech, timeline):
        time.sleep(0.05)
        return [Hypothesis('one two') for _ in speech.waveforms]
"""
DECODING = "    def decoding(self): return {'torch': 'torch' in sys.modules, 'options': dict(self.setup.options)}\n"
WHOLE = HEAD + INIT + TRANSCRIBE + DECODING
WAVEFORMS = [np.zeros(16_000, dtype=np.float32)] * 2


def variant(folder: Path, code: str, **options: Any) -> dict[str, Any]:
    """Write an engine and return the options of a variant with it."""
    file = folder / "my_engine.py"
    file.write_text(code)
    return {"runtime": {"path": str(file), "sha256": sha256_of(file), "options": options}}


def loaded(folder: Path, code: str, **options: Any) -> Runtime:
    name, own = runtimes.runtime_of(variant(folder, code, **options))
    return runtimes.load(name, Setup(folder, "whisper", own))


def transcribed(folder: Path, code: str) -> list[Hypothesis]:
    return loaded(folder, code).transcribe(english(WAVEFORMS), Timeline())


def test_own_file_transcribes_with_its_options(tmp_path: Path) -> None:
    runtime = loaded(tmp_path, WHOLE, beam_size=5)
    assert [heard.text for heard in runtime.transcribe(english(WAVEFORMS), Timeline())] == ["one two"] * 2
    assert runtime.decoding()["options"] == {"beam_size": 5}
    assert runtime.versions() == {"numpy": np.__version__}


def test_own_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("TEXT = 'from beside'\n")
    code = "import beside_it\n" + HEAD + INIT + TRANSCRIBE.replace("'one two'", "beside_it.TEXT")
    assert transcribed(tmp_path, code)[0].text == "from beside"


def test_own_file_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    options = variant(tmp_path, WHOLE)
    (tmp_path / "my_engine.py").write_text(WHOLE + "\n")
    name, own = runtimes.runtime_of(options)
    with pytest.raises(
        AsrmeterError, match=r"my_engine.py: has changed since the run was planned; start the run again"
    ):
        runtimes.load(name, Setup(tmp_path, "whisper", own))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def broken(:\n", "my_engine.py: the file raised SyntaxError: .*, line 1"),
        ("import no_such_package\n", "my_engine.py: the file raised ModuleNotFoundError: .*'no_such_package'"),
        ("x = 1\n", "my_engine.py: must define one class that is derived from .*base.Runtime; there is none"),
        (WHOLE + "class Other(Runtime): pass\n", "my_engine.py: must define one class .*; there is Engine, Other"),
        (HEAD + INIT, "my_engine.py: Engine lacks the method transcribe"),
        (HEAD + TRANSCRIBE, "my_engine.py: Engine lacks the method __init__"),
        (HEAD + "    def __init__(self): pass\n" + TRANSCRIBE, r"my_engine.py: Engine.__init__ raised TypeError"),
        (HEAD + "    def __init__(self, setup): sys.exit(3)\n" + TRANSCRIBE, "__init__ raised SystemExit: 3, line 7"),
        (WHOLE.replace("Hypothesis('one two')", "1 / 0"), "Engine.transcribe raised ZeroDivisionError: .*, line 11"),
        (WHOLE.replace("for _ in speech.waveforms", "for _ in '123'"), "returned 3 texts for 2 segments"),
        (WHOLE.replace("Hypothesis('one two')", "'one'"), "Engine.transcribe returned a list of str, not a Hypothesis"),
        (WHOLE.replace("return [Hypothesis", "[Hypothesis"), "Engine.transcribe returned None, not a Hypothesis"),
        (WHOLE.replace("'one two'", "None"), "Engine.transcribe returned None for a text"),
        (WHOLE.replace("'one two'", r"'\ud800'"), "Engine.transcribe returned a text with half of a character"),
        (WHOLE.replace("'one two'", "'', 3.5"), "Engine.transcribe returned 3.5 for n_tokens, which is a count"),
        (WHOLE.replace("'one two'", "'', np.int64(3)"), "Engine.transcribe returned a int64 for n_tokens"),
        (WHOLE.replace("'one two'", "'', 1, 1, float('nan')"), "Engine.transcribe returned nan for processed_s"),
        (WHOLE.replace("'one two'", "'', language='Russian'"), "Engine.transcribe returned 'Russian' for language"),
        (WHOLE.replace("'one two'", "'', language=7"), "Engine.transcribe returned 7 for language, which is a code"),
        (WHOLE.replace("time.sleep", "timeline.begin('decode'); time.sleep"), "Engine.transcribe marked 'decode', and"),
        (WHOLE + "    def effective(self): return Effective(threads='two')", "effective returned a str for threads"),
        (WHOLE + "    def effective(self): return Effective(emulated='no')", "effective returned a str for emulated"),
        (WHOLE + "    def effective(self): return {}", "Engine.effective returned a dict, not an Effective"),
        (WHOLE.replace('("numpy",)', '("no-such",)'), "Engine.versions raised PackageNotFoundError"),
        (WHOLE.replace("'torch': ", "'torch': {1}, 'x': "), "Engine.decoding returned a value that JSON cannot"),
        (WHOLE.replace("return {'torch'", "return 3, {'torch'"), "Engine.decoding returned a tuple of int"),
    ],
)  # fmt: skip
def test_own_file_that_fails_names_file_and_method(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(OwnFileError, match=said):
        runtime = loaded(tmp_path, code)
        runtime.transcribe(english(WAVEFORMS), Timeline())
        runtime.decoding()
        runtime.effective()
        runtime.versions()


@pytest.mark.parametrize("error", ["UnsupportedError('no such unit')", "MemoryError()"])
def test_own_file_may_refuse_or_run_out_of_memory(tmp_path: Path, error: str) -> None:
    with pytest.raises(UnsupportedError if "Unsupported" in error else MemoryError):
        transcribed(tmp_path, WHOLE.replace("return [Hypothesis", f"raise {error}; [Hypothesis"))


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What names a cell on a command line, but for its variant."""
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    model, corpus = tmp_path / "m", tmp_path / "c"
    model.mkdir()
    corpus.mkdir()
    (model / "model.safetensors").write_text("weights")
    sign_model(model, weights="random")
    soundfile.write(corpus / "a.flac", np.zeros(5 * 16_000), 16_000)
    sign_corpus(
        corpus,
        [{"segment_id": "s", "duration_s": 5, "audio_s": 5.0, "path": "a.flac", "text": "x", "language_told": "en"}],
    )
    protocol = {"version": 2, "target": 1, "max_passes": 2, "budget_s": 0.1}
    return [
        *(f"--model-folder={model}", f"--segments={corpus}/segments.json", "--variant=mine", "--model=m"),
        *("--device=cpu", "--duration-s=5", "--batch-size=1", "--threads=1", "--seed=1"),
        f"--protocol={json.dumps(protocol | {'energy_window_s': 0})}",
    ]


Measured = Callable[..., RecordHeader]


@pytest.fixture
def measured(options: list[str], tmp_path: Path) -> Measured:
    """Measures a cell with an engine in a worker of its own."""

    def measure_it(code: str, *more: str) -> RecordHeader:
        own = f"--variant-options={json.dumps(variant(tmp_path, code))}"
        measure.main([*options, own, f"--output={tmp_path}/5s-b1.parquet", *more])
        return cell_record.read(tmp_path / "5s-b1.parquet")[0]

    return measure_it


def test_own_file_is_measured_without_torch(measured: Measured, tmp_path: Path) -> None:
    header = measured(WHOLE)
    ready, memory = header.last(Ready), header.last(Memory)
    assert header.status in ("ok", "unconverged") and ready is not None and memory is not None
    assert ready.decoding == {"torch": False, "options": {}} and ready.versions == {"numpy": np.__version__}
    assert header.options["runtime"]["sha256"] == sha256_of(tmp_path / "my_engine.py")
    assert "torch" not in header.versions
    plain = (
        "import re, sys\nimport numpy as np, soundfile\n"
        f"weights, waveform = np.ones(10_000_000), soundfile.read({str(tmp_path / 'c/a.flac')!r}, dtype='float32')\n"
        "print(1024 * int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]))"
    )
    peak_bytes = int(subprocess.run([sys.executable, "-c", plain], capture_output=True, text=True, check=True).stdout)
    assert memory.peak_rss_bytes == pytest.approx(peak_bytes, rel=0.1)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("__init__", "ended after timeout_s = 4 and 0 passes, in __init__ of my_engine.py"),
        ("transcribe", "ended after timeout_s = 4 and 0 passes, in transcribe of my_engine.py"),
    ],
)
def test_own_file_that_hangs_is_named(measured: Measured, method: str, said: str) -> None:
    slow = INIT.replace(": self", ": time.sleep(60); self")
    code = WHOLE.replace(INIT, slow) if method == "__init__" else WHOLE.replace("sleep(0.05)", "sleep(60)")
    header = measured(code, "--timeout-s=4")
    assert (header.status, header.reason) == ("timeout", said)


def test_own_file_that_crashes_is_named(measured: Measured) -> None:
    header = measured(WHOLE.replace("return [Hypothesis", "__import__('os')._exit(7); return [Hypothesis"))
    said = "the worker ended with exit code 7 after 0 passes, in transcribe of my_engine.py"
    assert (header.status, header.reason) == ("error", said)


def test_own_file_has_no_operators_to_profile(options: list[str], tmp_path: Path) -> None:
    own = f"--variant-options={json.dumps(variant(tmp_path, WHOLE))}"
    places = [f"--output={tmp_path}/profile.parquet", f"--trace={tmp_path}/trace.json.gz"]
    profile_operators.main([*options, own, *places])
    (row,) = pq.read_table(tmp_path / "profile.parquet").to_pylist()
    assert (row["status"], row["reason"]) == ("unsupported", "own_file does not report the time of its operators")
