"""
Model weights.

Needs: pinned packages, the Hub, a local folder, or only a seed
Makes: <results>/models/<model>/ and <results>/converted/<model>/<format>/, each with provenance.json
Steps: convert packaged weights to safetensors, copy those of the Hub or a folder, or draw random ones; check them;
convert them for runtimes that cannot read safetensors
"""


rule model:
    "Make one model folder. Depends on its sources, not on the code."
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


rule converted:
    "Convert a model folder for a runtime. Depends on its sources, not on the code."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
    output:
        folder=directory("<results>/converted/{model}/{format}"),
    log:
        "<results>/logs/converted/{model}/{format}.log",
    priority: PLAN.laps.top_priority
    conda:
        environment_of_conversion
    params:
        variant=lambda wildcards: json.dumps(variant_to_convert(wildcards).as_json()),
        key=lambda wildcards: PLAN.fingerprints.conversions[
            f"{wildcards.model}/{wildcards.format}"
        ],
    shell:
        r"""
        python scripts/convert_model.py \
            --model-folder {input.model:q} \
            --variant-options {params.variant:q} \
            --key {params.key:q} \
            --output {output.folder:q} \
            2> >(tee {log:q} >&2)
        """
