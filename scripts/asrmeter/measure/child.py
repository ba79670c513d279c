"""The measuring process: it runs one task (see `tasks`) and reports events.

`fork_server` forks it, or it starts as `python -m asrmeter.measure.child` with the spec as JSON on standard input.
Events are JSON lines on the file descriptor `events`, so the parent has everything that was measured before a crash.
Nothing is imported here that measuring does not need: see the start-up cost in ARCHITECTURE.md.
"""

import gc
import json
import os
import sys

from asrmeter import runtimes
from asrmeter.common.printable import whole_characters
from asrmeter.common.typed_json import JsonObject
from asrmeter.measure import tasks
from asrmeter.records.events import Done, Event, Failed, Unsupported
from asrmeter.runtimes.base import UnsupportedError

hide = runtimes.hide


def preload(runtime: str) -> None:
    """Import the libraries of a runtime's cells, so that processes can be forked off afterwards.

    codecarbon is part of it where torch computes: without it, passes of 20 ms took a fifth longer (two threads, ten
    pairs), presumably as large buffers came from fresh pages each time. Elsewhere its memory would be part of a figure
    that is small.
    """
    disable_collections()
    from asrmeter.measure.tasks import cell  # noqa: F401

    runtimes.preload(runtime)
    if runtimes.options_of(runtime).has_operators:
        from asrmeter.measure import codecarbon_meter

        codecarbon_meter.preload()
    gc.freeze()  # a child's collections leave the memory alone that it shares with the server


def disable_collections() -> None:
    """Disable garbage collection until a model is loaded.

    Imports create many long-lived objects, and collections in between cost a tenth of the start-up.
    """
    gc.disable()


def run(message: JsonObject) -> int:
    """Do the task of a message, write its events to the descriptor `message["events"]`, and return the exit code."""
    with open(message["events"], "w", encoding="utf-8") as stream:

        def emit(event: Event) -> None:
            # A record cannot store half a character, which a runtime may return.
            stream.write(whole_characters(json.dumps(event.to_json(), ensure_ascii=False)) + "\n")
            stream.flush()

        try:
            tasks.load(message, emit).run()
            emit(Done())
            return 0
        except UnsupportedError as error:
            emit(Unsupported(reason=str(error)))
            return 0
        except BaseException as error:
            status, reason = tasks.classify_error(error)
            emit(Failed(status=status, reason=reason))
            sys.excepthook(type(error), error, error.__traceback__)
            return 1
        finally:
            sys.stderr.flush()


if __name__ == "__main__":
    disable_collections()
    told = json.load(sys.stdin)
    hide(told["hidden"])
    # Leaving without the second that tearing down torch takes.
    os._exit(run(told))
