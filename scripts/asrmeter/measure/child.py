"""The measuring process: it does one task (see `tasks`) and reports what happens as events.

`fork_server` forks it, or it starts as `python -m asrmeter.measure.child` with the spec as JSON on standard input.
Events are JSON lines on the file descriptor `events`, so the parent has everything that was measured before a crash.
Nothing is imported here that measuring does not need: see the start-up cost in ARCHITECTURE.md.
"""

import gc
import json
import os
import sys
from typing import Any

from asrmeter.measure import tasks

# transformers imports most of these where they are installed, for training losses and images, and pandas imports
# pyarrow: half a second for nothing, and a thread.
UNUSED = ("scipy", "sklearn", "PIL", "torchvision", "torchaudio", "pyarrow")


def block_unused_imports() -> None:
    """Make the `UNUSED` packages look as if they were not installed; for a process that only measures.

    `None` in `sys.modules` is Python's documented way to do this: an import raises ModuleNotFoundError, and
    `importlib.util.find_spec`, which transformers asks, returns None. A finder in `sys.meta_path` cannot do both: if it
    raises, `find_spec` raises too, and if it returns None, the next finder is asked.
    """
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]


def preload() -> None:
    """Import what every cell needs, so that processes can be forked off afterwards."""
    disable_collections()
    from asrmeter.measure import energy
    from asrmeter.measure.tasks import cell  # noqa: F401
    from asrmeter.runtimes import families

    for known in families.known().values():
        known.preload()
    energy.preload()
    gc.freeze()  # a child's collections leave the memory alone that it shares with the server


def disable_collections() -> None:
    """Disable garbage collection until a model is loaded.

    Imports create many long-lived objects, and collections in between cost a tenth of the start-up.
    """
    gc.disable()


def run(spec: dict[str, Any]) -> int:
    """Do the task of `spec`, write its events to the descriptor `spec["events"]`, and return the exit code."""
    with open(spec["events"], "w", encoding="utf-8") as stream:

        def emit(event: str, **fields: Any) -> None:
            stream.write(json.dumps({"event": event, **fields}) + "\n")
            stream.flush()

        try:
            # The spec of a cell names no task: the record keeps the spec as it is.
            tasks.load(spec.get("task", "cell"))(spec, emit).run()
            emit("done")
            return 0
        except tasks.UnsupportedError as error:
            emit("unsupported", reason=str(error))
            return 0
        except BaseException as error:
            status, reason = tasks.classify_error(error)
            emit("failed", status=status, reason=reason)
            sys.excepthook(type(error), error, error.__traceback__)
            return 1
        finally:
            sys.stderr.flush()


if __name__ == "__main__":
    disable_collections()
    block_unused_imports()
    # Leaving without the second that tearing down torch takes.
    os._exit(run(json.load(sys.stdin)))
