"""Attribute the time of a pass to operators: from a profiler's events to rows by stage, group and operator.

A pure function turns raw events into rows: torch's own tables take twenty times as long, and know neither stages nor
modules. The worker imports this module, so it must not import pyarrow.
"""

import functools
import gzip
import json
import re
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from asrmeter.common.files import atomic

Row = dict[str, Any]

# Groups of operators by name, without "aten::"; the first match counts. An operator's own time is its dispatch, and on
# CUDA the launch of its kernels too. The operators that it calls have their own time.
GROUPS = {
    # Waiting for the device, not work. The only copies here are those that wait: see `_waits`.
    "synchronisation": r"^cu(da)?(Stream|Device|Ctx|Event)Synchronize|cudaMemcpyAsync",
    "convolution": r"conv(?!ert)",
    "attention": r"scaled_dot_product|attention",
    "matmul": r"(^|_)(mm|bmm|addmm|baddbmm|addbmm|mv|addmv|v?dot|linear|matmul|einsum)(_|$)",
    # Also of weights: wav2vec 2.0 normalises those of its positional convolution in every pass. Not normal_().
    "normalisation": r"norm(?!al)",
    # A softmax outside of attention is over tokens.
    "activation": r"[gr]elu|silu|glu|tanh|sigmoid|softmax",
    "memory": "|".join(
        (
            r"^(empty|new_empty|resize|zero|new_zeros|ones|new_ones|full|fill|set_)",  # allocation, first content
            r"copy|^(to|clone|contiguous|cat|concat|stack|pad|constant_pad|reflection_pad|repeat|roll|flip)(_|\d|$)",
            # An embedding reads rows of a table.
            r"index|gather|scatter|masked_(fill|select)|^embedding|^where$",
            # Views copy nothing, but creating them takes time.
            r"view|reshape|^(t|transpose|permute|expand|expand_as|as_strided|slice|select|narrow|squeeze|unsqueeze)_?$",
            r"^(split|split_with_sizes|chunk|unbind|unfold|flatten|alias|detach|diagonal|movedim|real|m?T|numpy_T)_?$",
            r"^(lift_fresh|resolve_conj|resolve_neg)$",
            # Moving a number to the host. Waiting for it is `synchronisation`.
            r"^(item|_local_scalar_dense|is_nonzero)$",
        )
    ),
}
# Within a module of attention these count as attention, and so does what would be "other": the scaling and masking that
# fused attention does in the same operator. Projections stay matmul.
_WRITTEN_OUT = re.compile(r"^_?(bmm|baddbmm|softmax)$")
PYTHON, OTHER = "python", "other"
# The time of the interpreter and of libraries other than torch, such as numpy, when no operator runs.
BETWEEN = "(between operators)"

# Module of a Whisper decoder layer -> stage. Residual additions, embeddings and the rest of generation belong to
# decoder_other.
_DECODER_STAGES = {
    "self_attn": "decoder_self_attention",
    "self_attn_layer_norm": "decoder_self_attention",
    "encoder_attn": "decoder_cross_attention",
    "encoder_attn_layer_norm": "decoder_cross_attention",
    "fc1": "decoder_feed_forward",
    "activation_fn": "decoder_feed_forward",
    "fc2": "decoder_feed_forward",
    "final_layer_norm": "decoder_feed_forward",
}
# The name of a range is PREFIX and the stage; for a module of attention the ending follows.
PREFIX, _IN_ATTENTION = "asrmeter::", "::attention"

# Activity types of kineto.
_OPERATOR, _RANGE, _COPY = "cpu_op", "user_annotation", "gpu_memcpy"
_CALLS = ("cuda_runtime", "cuda_driver")
_ON_DEVICE = ("kernel", _COPY, "gpu_memset")

_SLICES_AT_ONCE = 10_000


def range_of(path: str, kind: str) -> str | None:
    """Return the name of the range, without PREFIX, that a module of the class `kind` opens; None if it opens none."""
    child = re.search(r"decoder\.layers\.\d+\.(\w+)$", path)
    stage = _DECODER_STAGES.get(child.group(1)) if child else None
    if "Attention" in kind:
        return f"{stage or 'encoder'}{_IN_ATTENTION}"
    return stage


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the profiler: `kind` is kineto's activity type, `thread` the stream of what runs on the device.

    `correlation` is an operator's own number. A call of the CUDA runtime shares it with what it makes the device do;
    both are `linked` to the operator that they belong to, 0 if to none.
    """

    name: str
    kind: str
    start_ns: int
    end_ns: int
    thread: int
    correlation: int = 0
    linked: int = 0
    shapes: Sequence[Any] = ()


def read(results: Any) -> list[Event]:
    """Return the events of kineto's results. Equal names and shapes are stored once, as most occur often."""
    known: dict[Any, Any] = {}

    def event_of(event: Any) -> Event:
        kind, shapes = event.activity_type(), tuple(map(tuple, event.shapes()))
        return Event(
            sys.intern(event.name()),
            sys.intern(kind),
            event.start_ns(),
            event.end_ns(),
            event.device_resource_id() if kind in _ON_DEVICE else event.start_thread_id(),
            event.correlation_id(),
            event.linked_correlation_id(),
            known.setdefault(shapes, shapes),
        )

    return [event_of(event) for event in results.events() if not event.is_hidden_event()]


@dataclass
class _Cost:
    """The cost of an operator of a stage in all its calls, in nanoseconds."""

    n_calls: int = 0
    cpu_ns: int = 0
    cuda_ns: int = 0


_Key = tuple[str, str, str]  # stage, group, operator


@dataclass(slots=True)
class _Open:
    """An event that others are nested in."""

    event: Event
    end_ns: int
    self_ns: int
    stage: str
    in_attention: bool


def attribute(events: Sequence[Event]) -> tuple[list[Row], float | None]:
    """Return the rows of a pass and the seconds that the device was busy, None if it did nothing.

    A row's CPU time is that of the thread of the ranges without nested events, so rows add up to the stages whatever
    other threads do. Its CUDA time is that of what its operators launched. Where launches overlap, the earlier one
    counts, so rows add up to the busy time.
    """
    ranges = [event for event in events if event.kind == _RANGE and event.name.startswith(PREFIX)]
    stages, inner = _stages(ranges)
    main = stages[0].thread
    operators = {event.correlation: event for event in events if event.kind == _OPERATOR}
    nested = [
        *stages,
        *inner,
        *(event for event in operators.values() if event.thread == main),
        # Calls of the runtime have another thread number. Those that no operator made are the interpreter's.
        *(event for event in _waits(events) if event.linked not in operators or operators[event.linked].thread == main),
    ]
    costs: dict[_Key, _Cost] = defaultdict(_Cost)
    keys: dict[int, _Key] = {}
    for opened in _walk(nested):
        if opened.event.kind == _RANGE:
            costs[opened.stage, PYTHON, BETWEEN].cpu_ns += opened.self_ns
        else:
            name = opened.event.name
            key = opened.stage, group_of(name, opened.in_attention), name
            costs[key].n_calls += 1
            costs[key].cpu_ns += opened.self_ns
            if opened.event.kind == _OPERATOR:
                keys[opened.event.correlation] = key

    begins = [stage.start_ns for stage in stages]

    def by_time(event: Event) -> _Key:
        """Return the row of an event that no operator of the main thread launched, by the stage that ran then."""
        launcher = operators.get(event.linked, event)
        stage = stages[max(0, bisect_right(begins, launcher.start_ns) - 1)]
        return stage.name.removeprefix(PREFIX), group_of(launcher.name, False), launcher.name

    busy_until_ns = 0
    on_device = sorted((event for event in events if event.kind in _ON_DEVICE), key=_in_time)
    for event in on_device:
        key = keys.get(event.linked) or by_time(event)
        costs[key].cuda_ns += max(0, event.end_ns - max(event.start_ns, busy_until_ns))
        busy_until_ns = max(busy_until_ns, event.end_ns)
    rows = [
        {
            "stage": stage,
            "group": group,
            "operator": operator,
            "n_calls": None if group == PYTHON else cost.n_calls,
            "cpu_self_s": cost.cpu_ns / 1e9,
            "cuda_self_s": cost.cuda_ns / 1e9 if on_device else None,
        }
        for (stage, group, operator), cost in costs.items()
    ]
    return rows, sum(cost.cuda_ns for cost in costs.values()) / 1e9 if on_device else None


def _stages(ranges: Iterable[Event]) -> tuple[list[Event], list[Event]]:
    """Return the outermost ranges, each until the next one begins as in a `Timeline`, and all inner ones."""
    outer: list[Event] = []
    inner: list[Event] = []
    for event in sorted(ranges, key=_in_time):
        (inner if outer and event.start_ns < outer[-1].end_ns else outer).append(event)
    lasting = [replace(a, end_ns=b.start_ns) for a, b in pairwise(outer)]
    return [*lasting, *outer[-1:]], inner


def _in_time(event: Event) -> tuple[int, int]:
    """Sort key: events by their start, outer ones first."""
    return event.start_ns, -event.end_ns


def _waits(events: Iterable[Event]) -> list[Event]:
    """Return the calls of the CUDA runtime that wait for the device.

    A copy to the host waits unless its memory is pinned. Launches are part of the operator that launches.
    """
    back = {
        event.correlation
        for event in events
        if event.kind == _COPY and "DtoH" in event.name and "Pinned" not in event.name
    }
    return [
        event
        for event in events
        # A name may end in a version (_v3020) or in the kind of its stream (_ptsz).
        if event.kind in _CALLS and (re.search(r"Synchronize(_\w+)?$", event.name) or event.correlation in back)
    ]


def _walk(events: Iterable[Event]) -> Iterator[_Open]:
    """Yield the events of a thread within ranges, as they end, each with its own time, stage and scope.

    An event is cut off at the end of the one that it is nested in: the clocks of the device's calls differ a little.
    """
    stack: list[_Open] = []
    for event in sorted(events, key=_in_time):
        while stack and stack[-1].end_ns <= event.start_ns:
            yield stack.pop()
        end_ns = min(event.end_ns, stack[-1].end_ns) if stack else event.end_ns
        if stack:
            stack[-1].self_ns -= end_ns - event.start_ns
            stage, in_attention = stack[-1].stage, stack[-1].in_attention
        if event.kind == _RANGE:
            name = event.name.removeprefix(PREFIX)
            stage, in_attention = name.removesuffix(_IN_ATTENTION), name.endswith(_IN_ATTENTION)
        elif not stack:
            continue
        stack.append(_Open(event, end_ns, end_ns - event.start_ns, stage, in_attention))
    yield from reversed(stack)


@functools.cache
def group_of(operator: str, in_attention: bool) -> str:
    """Return the group of an operator, within a module of attention or not."""
    name = operator.removeprefix("aten::")
    if in_attention and _WRITTEN_OUT.search(name):
        return "attention"
    for group, pattern in GROUPS.items():
        if re.search(pattern, name):
            return group
    return "attention" if in_attention else OTHER


def write_trace(events: Sequence[Event], path: Path) -> None:
    """Write events as a gzipped trace for Perfetto or chrome://tracing, in microseconds since the first of them.

    It contains names and shapes only: torch's own export contains the host name, paths and the date.
    """
    first_ns = min((event.start_ns for event in events), default=0)
    with atomic(path) as part, gzip.open(part, "wt", compresslevel=6, encoding="utf-8") as stream:
        stream.write('{"traceEvents": [')
        # One call for many slices takes half as long as one for each.
        for begin in range(0, len(events), _SLICES_AT_ONCE):
            some = [_as_slice(event, first_ns) for event in events[begin : begin + _SLICES_AT_ONCE]]
            stream.write(",\n" if begin else "\n")
            stream.write(json.dumps(some)[1:-1])
        stream.write("\n]}\n")


def _as_slice(event: Event, first_ns: int) -> Row:
    times = {"ts": (event.start_ns - first_ns) / 1e3, "dur": (event.end_ns - event.start_ns) / 1e3}
    place = {"pid": "device" if event.kind in _ON_DEVICE else "CPU", "tid": event.thread}
    shapes = {"args": {"shapes": event.shapes}} if event.shapes else {}
    return {"ph": "X", "name": event.name, "cat": event.kind, **place, **times, **shapes}
