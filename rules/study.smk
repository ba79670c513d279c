"""
Study file, saved beside its results.

Needs: the study
Makes: <results>/study.json
Steps: fill in every default, write
"""


rule study:
    "Save the study with every default filled in."
    input:
        code("write_study.py"),
    output:
        "<results>/study.json",
    log:
        "<results>/logs/study.log",
    # Marks the owner of the results before the first cell is measured.
    priority: PLAN.laps.top_priority
    conda:
        "../envs/analysis.yaml"
    params:
        study=json.dumps(STUDY.as_json()),
    shell:
        r"""
        python scripts/write_study.py \
            --study {params.study:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """
