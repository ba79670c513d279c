"""The commands that the documentation and our messages print."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from asrmeter.common.paths import ROOT, SCRIPTS

DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "studies/README.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
_PROGRAMS = r"(?:\.venv/bin/)?(?:snakemake|python|make|podman|apptainer|rm|pip|git|hf|\.ci/run)"
# A word that stands for what the reader has to put there.
_PLACEHOLDERS = {"FILE", "NAME", "X", "..."}


def printed() -> dict[str, str]:
    """Return each command of the documentation with the name of the first document that has it."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for command in [*_fenced(text), *_inline(text)]:
            found.setdefault(command, path.name)
    return found


def _fenced(text: str) -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield " ".join(re.sub(r"\s+#.*", "", line).split())


def _inline(text: str) -> Iterator[str]:
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for words in re.findall(r"`([^`]+)`", without_blocks):
        command = " ".join(words.split())
        if re.match(rf"{_PROGRAMS} \S", command):
            yield command


def told() -> set[str]:
    """Return the commands in texts of the scripts, a placeholder for each value that is put in."""
    found: set[str] = set()
    for path in SCRIPTS.rglob("*.py"):
        for text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            found.update(re.findall(r"(?:snakemake -|python scripts/|make run )[^`;|\n)]*", text))
    return {re.split(r"\s{2,}", command.strip())[0] for command in found}


def _texts(tree: ast.AST) -> Iterator[str]:
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def words(command: str) -> list[str]:
    """Return the words of a command without the placeholders."""
    return [word for word in shlex.split(command) if word not in _PLACEHOLDERS]


def script_of(command: str) -> Path | None:
    """Return the script of ours that a command runs."""
    return next((ROOT / word for word in words(command) if word.endswith(".py")), None)


# Run as they are printed, in a checkout with a finished run whose study is studies/mine.yaml too:
# tests/pipeline/test_printed_commands.py. FILE is a record of it.
RUN = [
    ".venv/bin/snakemake --cores 4 --resources gpu=1",
    "python scripts/check_study.py studies/mine.yaml",
    "snakemake --cores all --resources gpu=1 --configfile studies/mine.yaml",
    "snakemake -n ...",
    "snakemake --cores 1 fetch --configfile studies/mine.yaml",
    "snakemake --cores 1 fetch",
    "python scripts/convert_model.py --model-folder results/models/whisper-tiny.en --variant-options "
    """'{"runtime": "ctranslate2", "format": "float32"}' --output results/converted/mine""",
    "python scripts/list_cells.py results --status failed",
    "python scripts/list_cells.py results --older-than 7d --machine node3",
    "snakemake --cores all FILE",
    "snakemake --unlock",
    "snakemake --cores all --report report.zip",
    "python scripts/export_tables.py results --format latex",
    "python scripts/answer.py results",
]
# Run by tests of their own: the file, and the words in it.
RUN_ELSEWHERE = {
    "snakemake --cores 1 compare --config compare='{first: results-a, second: results-b}'": (
        "pipeline/test_two_runs.py",
        "snakemake --cores 1 compare --config compare='{{{said}}}'",
    ),
    "snakemake --cores 1 compare --config compare='{first: results-a, second: results-b, guard: true}'": (
        "pipeline/test_two_runs.py",
        "snakemake --cores 1 compare --config compare='{{{said}}}'",
    ),
    "python scripts/compare.py results-a results-b --guard --csv pairs.csv": (
        "pipeline/test_two_runs.py",
        "python scripts/compare.py results-a results-b --guard --csv pairs.csv",
    ),
    "snakemake --cores 1 compare --config compare='{first: before}'": (
        "pipeline/test_two_runs.py",
        'compared(finished, first="before"',
    ),
    **{
        command: ("unit/test_kept_runs.py", command)
        for command in (
            *("make keep NAME=before", "python scripts/runs.py keep before", "python scripts/runs.py list"),
            *("python scripts/runs.py remove before", "python scripts/compare.py before results"),
        )
    },
    "make share": ("integration/test_share.py", "make share"),
    "python scripts/share.py results": ("integration/test_share.py", "python scripts/share.py results"),
    "snakemake --cores all noise": ("pipeline/test_noise_check.py", "snakemake --cores all noise"),
    "snakemake --sdm conda --cores all --resources gpu=1": (
        "pipeline/test_environments.py",
        "snakemake --sdm conda --cores all --resources gpu=1",
    ),
    "snakemake --cores 1 --sdm conda --conda-create-envs-only": (
        "pipeline/test_environments.py",
        "snakemake --cores 1 --sdm conda --conda-create-envs-only",
    ),
    "snakemake --profile profiles/slurm --configfile studies/mine.yaml": (
        "cluster/test_cluster.py",
        '*("--profile", "profiles/slurm"',
    ),
    "podman build --tag asrmeter --file envs/Containerfile requirements": ("unit/test_container.py", "podman build"),
}
# Their words are checked, and nothing of them is run: they take the machine, another program or a person.
ONLY_CHECKED = {
    *(
        "make run",
        "make run VERBOSE=1",
        "make test",
        "make check",
        "make slurm",
        "make pictures",
        "make lint",
        "make format",
        "make schema",
    ),
    *("make runtimes", "make run STUDY=studies/proposals.yaml", "make run STUDY=studies/capacity.yaml"),
    *("make columns", "make docs", "make lock", "make run STUDY=studies/mine.yaml", "make run STUDY=studies/NAME.yaml"),
    "snakemake --cores all --resources gpu=1 --configfile studies/NAME.yaml",
    *("python scripts/download.py", "python scripts/make_report.py"),
    "python tests/check/bare_loop.py --results results --budget-s 6",
    "python tests/check/bare_layouts.py results",
    "python scripts/list_cells.py results --disturbed --delete",
    *("python tests/check/wall_time.py results", "python tests/check/coverage.py 500"),
    "python tests/check/agreement.py first/results second/results",
    *("pytest tests/unit/test_scoring.py", 'pytest tests/unit -m "not simulation" --numprocesses 2'),
    *('pytest tests -m "not alone" --numprocesses 2', "pytest tests -m alone"),
    *("python tests/check/startup.py A B", "python tests/check/plan_time.py A B"),
    "python tests/cluster/slurm.py FOLDER",
    *("rm -r results/measurements/whisper-base/fp32/cpu/30s-b1", "rm -r results/ceilings", "rm -r results"),
    'podman run --rm --pid host --volume /tmp:/tmp --volume "$PWD:$PWD" --workdir "$PWD" asrmeter '
    "snakemake --cores all --resources gpu=1",
    "podman save --format oci-archive --output asrmeter.tar asrmeter",
    "apptainer build asrmeter.sif oci-archive:asrmeter.tar",
    "apptainer exec asrmeter.sif snakemake --cores all --resources gpu=1",
    *("pip install --editable .", ".venv/bin/pip install --no-deps --editable ."),
    *("$EDITOR profiles/slurm/config.yaml", "hf auth login"),
    "git ls-remote https://huggingface.co/distil-whisper/distil-small.en main",
    "python3 -m venv .venv",
    """.venv/bin/pip install "$(grep -o '^torch==[0-9.]*' requirements/run.lock)" --index-url URL""",
}
