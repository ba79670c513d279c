"""
Noise check of the machine.

Needs: nothing
Makes: a verdict on the terminal and in <results>/logs/noise.log
Steps: run the same work for ten seconds, alone on the machine; `snakemake --cores all noise`

Has no output, so that it runs on every request. On a cluster it checks the node of its job.
"""


rule noise:
    "Report how quiet the machine is, what disturbs it, and what to do about it."
    log:
        "<results>/logs/noise.log",
    conda:
        "../envs/measure.yaml"
    threads: MEASURE_THREADS
    params:
        threads=STUDY.threads,
        target=STUDY.protocol.target,
    shell:
        r"""
        python scripts/check_noise.py \
            --threads {params.threads:q} \
            --target {params.target:q} \
            2> >(tee {log:q} >&2)
        """
