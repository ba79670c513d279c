"""
The study, as it is saved beside its results.

Needs: the study
Makes: <results>/study.json
Steps: fill in every default, write
"""


rule study:
    "Write down the study with every default filled in."
    input:
        code("write_study.py"),
    output:
        "<results>/study.json",
    log:
        "<results>/logs/study.log",
    # Says whose results these are before the first cell is there.
    priority: PLAN.top_priority
    conda:
        "../envs/analysis.yaml"
    params:
        study=json.dumps(STUDY),
    shell:
        r"""
        python scripts/write_study.py \
            --study {params.study:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


def saved_study(wildcards):
    "The saved study. Results of another study or version are refused where Snakemake would take them for its own."
    with errors_in_one_line():
        PLAN.check_untracked(snakemake_api.is_untracked(workflow))
    return f"{PLAN.results}/{ownership.FILE}"
