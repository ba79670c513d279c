"""
Ceilings: the peak rates of the machine.

Needs: nothing
Makes: <results>/ceilings/<machine>/<device>.parquet
Steps: one job for each device, alone on the machine, after the cells

On a cluster of several nodes, only the node of this job gets ceilings. Cells of other nodes have no verdicts.
"""


rule ceilings_cpu:
    "Measure the CPU's peak rates: matrix products and memory."
    output:
        "<results>/ceilings/{machine}/cpu.parquet",
    log:
        "<results>/logs/ceilings/{machine}/cpu.log",
    retries: PLAN.retries
    conda:
        "../envs/measure.yaml"
    threads: MEASURE_THREADS
    resources:
        **measuring_resources(mem_mb=MACHINE_PEAKS_MB),
    params:
        device="cpu",
        threads=STUDY.threads,
        dtypes=PLAN.dtypes,
        version=fingerprints.CEILINGS_VERSION,
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
        **measuring_resources(mem_mb=MACHINE_PEAKS_MB),
        gpu=1,
    params:
        device="cuda",
        threads=STUDY.threads,
        dtypes=PLAN.dtypes,
        version=fingerprints.CEILINGS_VERSION,
