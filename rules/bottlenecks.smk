"""
What holds a model back.

Needs: model folders, the corpus, the study, the cells table
Makes: <results>/tables/{flops,operators,ceilings,roofline,scaling,edlm2025}.{parquet,csv}, <results>/profiles/,
       <results>/ceilings/
Steps: count floating-point operations, profile the operators of some cells, measure what the machine can do, compare

Profiles and ceilings are measurements of their own: alone on the machine, never within a cell, and on one machine after
the cells. On a cluster of several nodes only that one has ceilings, and so verdicts, which a job for them was sent to.
"""

PROFILED = [f"<results>/profiles/{cell.id}.parquet" for cell in grid.profiled(STUDY)]
# Those of other machines that cells were measured on stay beside them.
CEILINGS = [
    f"<results>/ceilings/{MACHINE}/{device}.parquet" for device in STUDY["devices"]
]
# Three matrices, and four times the largest working set.
CEILINGS_MB = 8000
DTYPES = sorted({variant["dtype"] for variant in STUDY["variants"].values()})


rule flops:
    "Count the floating-point operations of every model; those of the 2025 study always."
    input:
        code("count_flops.py"),
        f"{BASE}/resources/models.toml",
        models=list(MODELS.values()),
        segments=SEGMENTS,
        study="<results>/study.json",
    output:
        expand("<results>/tables/flops.{ending}", ending=["parquet", "csv"]),
    log:
        "<results>/logs/flops.log",
    conda:
        "../envs/flops.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        r"""
        python scripts/count_flops.py \
            --study {input.study:q} \
            --models {params.results:q}/models \
            --segments {input.segments:q} \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """


rule profile_cpu:
    "Profile the operators of one cell on the CPU: a table, and a trace to look at."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        manifest=SEGMENTS,
    output:
        operators="<results>/profiles/{model}/{variant}/cpu/{duration}s-b{batch}.parquet",
        trace="<results>/profiles/{model}/{variant}/cpu/{duration}s-b{batch}.trace.json.gz",
    log:
        "<results>/logs/profile/{model}/{variant}/cpu/{duration}s-b{batch}.log",
    # The last ones write that the cell takes its job down.
    retries: RETRIES
    conda:
        "../envs/measure.yaml"
    threads: MEASURE_THREADS
    resources:
        **of_measuring(mem_mb=memory_mb("cpu")),
    params:
        cell=options_of("cpu", grid.profile_options),
    shell:
        r"""
        python scripts/profile_operators.py {params.cell:q} \
            --model-folder {input.model:q} \
            --segments {input.manifest:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --trace {output.trace:q} \
            --output {output.operators:q} \
            2> >(tee {log:q} >&2)
        """


use rule profile_cpu as profile_cuda with:
    output:
        operators="<results>/profiles/{model}/{variant}/cuda/{duration}s-b{batch}.parquet",
        trace="<results>/profiles/{model}/{variant}/cuda/{duration}s-b{batch}.trace.json.gz",
    log:
        "<results>/logs/profile/{model}/{variant}/cuda/{duration}s-b{batch}.log",
    resources:
        **of_measuring(mem_mb=memory_mb("cuda")),
        gpu=1,
    params:
        cell=options_of("cuda", grid.profile_options),


rule ceilings_cpu:
    "Measure what the CPU can do: matrix products, and memory."
    output:
        "<results>/ceilings/{machine}/cpu.parquet",
    log:
        "<results>/logs/ceilings/{machine}/cpu.log",
    retries: RETRIES
    conda:
        "../envs/measure.yaml"
    threads: MEASURE_THREADS
    resources:
        **of_measuring(mem_mb=CEILINGS_MB),
    params:
        device="cpu",
        threads=STUDY["threads"],
        dtypes=DTYPES,
        version=grid.CEILINGS_VERSION,
    shell:
        r"""
        python scripts/ceilings.py \
            --device {params.device:q} \
            --threads {params.threads:q} \
            --dtypes {params.dtypes:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule ceilings_cpu as ceilings_cuda with:
    output:
        "<results>/ceilings/{machine}/cuda.parquet",
    log:
        "<results>/logs/ceilings/{machine}/cuda.log",
    resources:
        **of_measuring(mem_mb=CEILINGS_MB),
        gpu=1,
    params:
        device="cuda",
        threads=STUDY["threads"],
        dtypes=DTYPES,
        version=grid.CEILINGS_VERSION,


rule bottlenecks:
    "Work out what holds each cell back, and put the 2025 study's tables beside."
    input:
        code("bottlenecks.py"),
        f"{BASE}/resources/edlm2025.csv",
        profiles=PROFILED,
        ceilings=CEILINGS,
        study="<results>/study.json",
        cells="<results>/tables/cells.parquet",
        flops="<results>/tables/flops.parquet",
    output:
        expand(
            "<results>/tables/{table}.{ending}",
            table=["operators", "ceilings", "roofline", "scaling", "edlm2025"],
            ending=["parquet", "csv"],
        ),
    log:
        "<results>/logs/bottlenecks.log",
    conda:
        "../envs/analysis.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
        made_of=KEYS,
    shell:
        r"""
        python scripts/bottlenecks.py \
            --study {input.study:q} \
            --cells {input.cells:q} \
            --flops {input.flops:q} \
            --profiles {input.profiles:q} \
            --keys {params.made_of:q} \
            --ceilings {params.results:q}/ceilings \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """
