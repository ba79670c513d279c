"""What a cell consumes: energy, and memory."""

from asrmeter.analysis.cell_columns.values import NOT_LOADED, NOT_TIMED, OLD_RECORD, CellColumn, of_laps
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.common.table_types import INTEGER, LABEL, MESSAGE, NUMBER, Source, column
from asrmeter.records.events import Memory, Ready

_UNKNOWN = "no meter gave a value, or the cell has no latency; `energy_note` says more"
_NO_COUNTER = "no counter could be read; `counter_note` says why"
_ONE_WINDOW = "there is a single window, or no value"
_ONE_LAP = "a single lap has it, or none"
_NO_GPU = "the cell ran on the CPU, or its runtime does not tell"


def _joules(name: str, part: str | None, meaning: str, source: Source, null_when: str = _UNKNOWN) -> CellColumn:
    return (
        column(f"energy_{name}j_per_sample", NUMBER, meaning, source, unit="J", null_when=null_when),
        lambda cell: cell.energy.j_per_sample(part),
    )


def _method(part: str, of: str) -> CellColumn:
    meaning = (
        f"How the energy of the {of} was found: `rapl`, `nvml_counter` and `nvml_power` are measured, `cpu_load_model` "
        "and `tdp_constant` modelled, `none` is nothing."
    )
    return (
        column(f"energy_method_{part}", LABEL, meaning, Source.RECORDED, null_when=OLD_RECORD),
        lambda cell: cell.energy.method(part),
    )


def _end(place: int) -> CellColumn:
    which = ("lowest", "highest")[place]
    meaning = (
        f"`energy_j_per_sample` by the window of the {which} power: one end of the range over the windows of all laps."
    )

    def value(cell: MeasuredCell) -> float | None:
        found = cell.energy.range_j_per_sample
        return None if found is None else found[place]

    name = f"energy_j_per_sample_{('min', 'max')[place]}"
    return column(name, NUMBER, meaning, Source.MEASURED_OR_MODELLED, unit="J", null_when=_ONE_WINDOW), value


ENERGY: list[CellColumn] = [
    _joules(
        "",
        None,
        "The energy of one segment: mean power of the device's own component (the CPU or the GPU) over the windows of "
        "all laps, times the latency. Gross: idling is in it; RAM, disks, network and cooling are not.",
        Source.MEASURED_OR_MODELLED,
    ),
    _end(0),
    _end(1),
    (
        column(
            "energy_net_j_per_sample",
            NUMBER,
            "The energy of the device for one segment above its idle power.",
            Source.MEASURED,
            unit="J",
            null_when="idle power was not measured",
        ),
        lambda cell: cell.energy.net_j_per_sample,
    ),
    _joules("cpu_", "cpu", "The energy of the CPU for one segment, by codecarbon.", Source.MEASURED_OR_MODELLED),
    _joules("gpu_", "gpu", "The energy of the GPU for one segment, by codecarbon.", Source.MEASURED_OR_MODELLED),
    _joules(
        "ram_",
        "ram",
        "The energy of the memory for one segment: codecarbon's constant for the number of modules, never added.",
        Source.MODELLED,
    ),
    _joules(
        "counter_cpu_",
        "counter_cpu",
        "The energy of the CPU for one segment, by the hardware's counter, read directly.",
        Source.MEASURED,
        _NO_COUNTER,
    ),
    _joules(
        "counter_gpu_",
        "counter_gpu",
        "The energy of the GPU for one segment, by the hardware's counter, read directly.",
        Source.MEASURED,
        _NO_COUNTER,
    ),
    (
        column(
            "energy_counter_difference",
            NUMBER,
            "How far codecarbon's value lies above that of the counter, of the counter's.",
            Source.COMPUTED,
            unit="share",
            null_when=_NO_COUNTER,
        ),
        lambda cell: cell.energy.counter_difference,
    ),
    (
        column(
            "energy_range_rel",
            NUMBER,
            "The range of the power over the windows of all laps, of their median.",
            Source.COMPUTED,
            unit="share",
            null_when=_ONE_WINDOW,
        ),
        lambda cell: cell.energy.range_rel,
    ),
    (
        column(
            "n_energy_windows",
            INTEGER,
            "The windows, one a lap: of their own where power is measured, else the timed passes.",
            Source.COUNTED,
            unit="windows",
            null_when=OLD_RECORD,
        ),
        lambda cell: len(cell.energy.windows),
    ),
    (
        column(
            "counter_tick_s",
            NUMBER,
            "The time between two updates of the hardware's counter, as observed.",
            Source.MEASURED,
            unit="s",
            null_when=_NO_COUNTER,
        ),
        lambda cell: cell.energy.first.counter_tick_s,
    ),
    (
        column(
            "counter_note",
            MESSAGE,
            "Why the hardware's counter gives no value.",
            Source.RECORDED,
            null_when="it gives one, or energy was not asked for",
        ),
        lambda cell: cell.energy.first.counter_note,
    ),
    _method("cpu", "CPU"),
    _method("gpu", "GPU"),
    (
        column(
            "energy_note",
            MESSAGE,
            "What codecarbon says of its figures, such as the power that a model assumes.",
            Source.RECORDED,
            null_when="nothing",
        ),
        lambda cell: cell.energy.first.note,
    ),
    (
        column(
            "idle_power_w",
            NUMBER,
            "The power of the device with the model loaded and nothing to do.",
            Source.MEASURED,
            unit="W",
            null_when="power is not measured, or had not settled",
        ),
        lambda cell: cell.energy.idle_power_w,
    ),
]


def _least(name: str, null_when: str = _ONE_LAP) -> CellColumn:
    meaning = f"The least `{name}` of all laps: with the largest the range over laps."
    return (
        column(f"{name}_min", INTEGER, meaning, Source.MEASURED, unit="bytes", null_when=null_when),
        of_laps(Memory, name, min, least=2),
    )


MEMORY: list[CellColumn] = [
    (
        column(
            "peak_rss_bytes",
            INTEGER,
            "The peak of the process' resident memory in the first timed pass, which is over the longest batch; the "
            "largest of all laps.",
            Source.MEASURED,
            unit="bytes",
            null_when=NOT_TIMED,
        ),
        of_laps(Memory, "peak_rss_bytes", max),
    ),
    _least("peak_rss_bytes"),
    (
        column(
            "model_rss_bytes",
            INTEGER,
            "The process' resident memory once the model was loaded; the largest of all laps.",
            Source.MEASURED,
            unit="bytes",
            null_when=NOT_LOADED,
        ),
        of_laps(Ready, "model_rss_bytes", max),
    ),
    (
        column(
            "peak_device_bytes",
            INTEGER,
            "The peak of the GPU's memory in the first timed pass; the largest of all laps.",
            Source.MEASURED,
            unit="bytes",
            null_when=_NO_GPU,
        ),
        of_laps(Memory, "peak_device_bytes", max),
    ),
    _least("peak_device_bytes", f"{_ONE_LAP}; or {_NO_GPU}"),
    (
        column(
            "model_device_bytes",
            INTEGER,
            "The GPU's memory once the model was loaded; the largest of all laps.",
            Source.MEASURED,
            unit="bytes",
            null_when=_NO_GPU,
        ),
        of_laps(Ready, "model_device_bytes", max),
    ),
]
