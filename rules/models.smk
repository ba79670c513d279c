"""
The weights.

Needs: pinned packages, the Hub, a local folder, or only a seed
Makes: <results>/models/<model>/, with provenance.json
Steps: convert packaged weights to safetensors, copy those of the Hub or a folder, or draw random ones; check them
"""


rule model:
    "Make one model folder. Depends on what it is made of, not on how the code looks."
    input:
        archives=lambda wildcards: ancient(PLAN.model_archives(wildcards.model)),
    output:
        folder=directory("<results>/models/{model}"),
    log:
        "<results>/logs/model/{model}.log",
    priority: PLAN.laps.top_priority
    conda:
        "../envs/measure.yaml"
    params:
        settings=lambda wildcards: json.dumps(STUDY.models[wildcards.model].as_json()),
        seed=STUDY.seed,
        downloads=f"{PLAN.results}/downloads",
        key=lambda wildcards: PLAN.fingerprints.models[wildcards.model],
    shell:
        r"""
        python scripts/prepare_model.py \
            --model {wildcards.model:q} \
            --settings {params.settings:q} \
            --seed {params.seed:q} \
            --downloads {params.downloads:q} \
            --key {params.key:q} \
            --output {output.folder:q} \
            2> >(tee {log:q} >&2)
        """
