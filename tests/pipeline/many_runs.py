"""Run Snakemake's own command line many times for one start-up: a process each, forked once everything is imported.

Standard input has a JSON object a line: `arguments`; `config`, the file to have as config.yaml meanwhile (null: none);
`output`, where the run's output goes. Standard output gets an exit status a line.
"""

import json
import os
import shutil
import sys
import traceback
from pathlib import Path

# What each run would import for itself.
import pydantic  # noqa: F401
import smart_open  # noqa: F401
import snakemake.cli


def run(arguments: list[str], output: str) -> int:
    """Run Snakemake in a process of its own; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        to = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        sys.argv[1:] = arguments
        snakemake.cli.main(arguments)
    except SystemExit as ended:
        # As the interpreter does it: a text is shown.
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


# Imports all plug-ins, and what these import.
snakemake.cli.get_argument_parser()
for line in sys.stdin:
    asked = json.loads(line)
    if asked["config"] is None:
        Path("config.yaml").unlink(missing_ok=True)
    else:
        shutil.copyfile(asked["config"], "config.yaml")
    print(run(asked["arguments"], asked["output"]), flush=True)
