"""
Two runs side by side.

Needs: the tables of two finished runs, by folder or by name of a kept run: compare.first, and compare.second or this
  study's own
Makes: the comparison on the terminal, its verdict last; with compare.guard it fails with REGRESSION if the second run
  is worse, and with NOTHING TO JUDGE if this cannot be decided
Steps: read both, compare; `snakemake --cores 1 compare --config compare='{first: results-a, second: results-b}'`

Has no output, so that it runs on every request, and no tables as inputs, so that it never measures anything.
"""


rule compare:
    "Say which cells and models are as before, which are better or worse, and where that cannot be told."
    log:
        "<results>/logs/compare.log",
    conda:
        "../envs/report.yaml"
    params:
        runs=lambda wildcards: or_exit(run_folders.compared, STUDY),
        guard=["--guard"] if STUDY.compare.guard else [],
    shell:
        r"""
        python scripts/compare.py \
            {params.runs:q} \
            {params.guard:q} \
            2> >(tee {log:q} >&2)
        """
