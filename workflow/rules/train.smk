rule freeze_settings:
    input:
        data=data_of_choice,
    output:
        f"{RESULTS}settings/{{dataset}}/{{model}}/{{method}}.json",
    log:
        f"{RESULTS}logs/freeze_settings/{{dataset}}/{{model}}/{{method}}.log",
    benchmark:
        f"{RESULTS}benchmarks/freeze_settings/{{dataset}}/{{model}}/{{method}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        model_settings=training_settings("model_settings"),
        method_settings=training_settings("method_settings"),
        data=lambda wildcards, input: (
            f"--data {shlex.quote(str(input.data))} " if input else ""
        ),
    shell:
        "sparsenode freeze-settings --dataset {wildcards.dataset} --model {wildcards.model}"
        " --method {wildcards.method} --model-settings {params.model_settings:q}"
        " --method-settings {params.method_settings:q} {params.data}--output {output:q} > {log:q} 2>&1"


rule train_members:
    input:
        data=f"{RESULTS}data/{{dataset}}.h5ad",
        settings=settings_of_block,
    output:
        model=f"{RESULTS}models/{{dataset}}/{{model}}/{{method}}/seeds_{{first}}-{{last}}.safetensors",
        history=f"{RESULTS}models/{{dataset}}/{{model}}/{{method}}/seeds_{{first}}-{{last}}.history.parquet",
    log:
        f"{RESULTS}logs/train_members/{{dataset}}/{{model}}/{{method}}/seeds_{{first}}-{{last}}.log",
    benchmark:
        f"{RESULTS}benchmarks/train_members/{{dataset}}/{{model}}/{{method}}/seeds_{{first}}-{{last}}.tsv"
    wildcard_constraints:
        dataset="|".join(
            re.escape(name) for name in config["run"]["datasets"] if name not in PACKED
        )
        or "(?!)",
    conda:
        training_environment
    threads: config["threads"]
    resources:
        mem_mb=training_memory,
        runtime=training_minutes,
        gpu=gpus_of_training,
        # Not parameters: where and how safely a member was trained does not belong to what it is.
        device=config["device"],
        memory_limit=memory_limit(),
        checkpoint_seconds=str(config["checkpoint_seconds"]),
    params:
        version=versions.TRAINING,
        # No output: Snakemake removes the outputs of a job that fails.
        checkpoints=f"{RESULTS}checkpoints/{{dataset}}/{{model}}/{{method}}/seeds_{{first}}-{{last}}",
    shell:
        "sparsenode train-members --data {input.data:q} --settings {input.settings:q}"
        " --first-seed {wildcards.first} --last-seed {wildcards.last} --threads {threads}"
        " --device {resources.device} {resources.memory_limit}--checkpoints {params.checkpoints:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --output {output.model:q}"
        " --history {output.history:q} > {log:q} 2>&1"


# One rule a pack of trainings on datasets of a sweep, train_pack_NUMBER, since their files have no pattern.
for number, pack in enumerate(PACKS):

    rule:
        name:
            f"train_pack_{number}"
        input:
            data=list(dict.fromkeys(files_of_pack(pack, "data/{dataset}.h5ad"))),
            settings=files_of_pack(pack, "settings/{dataset}/{model}/{method}.json"),
        output:
            models=files_of_pack(pack, "models/{path}.safetensors"),
            histories=files_of_pack(pack, "models/{path}.history.parquet"),
        log:
            f"{RESULTS}logs/train_pack/{pack[0].path()}.log",
        benchmark:
            f"{RESULTS}benchmarks/train_pack/{pack[0].path()}.tsv"
        conda:
            training_environment
        threads: config["threads"]
        resources:
            mem_mb=pack_memory(pack),
            runtime=pack_minutes(pack),
            gpu=gpus_of_training,
            device=config["device"],
            memory_limit=memory_limit(),
            checkpoint_seconds=str(config["checkpoint_seconds"]),
        params:
            version=versions.TRAINING,
            results=RESULTS or ".",
            trainings=[training.path() for training in pack],
        shell:
            "sparsenode train-pack --results {params.results:q} --trainings {params.trainings:q} --threads {threads}"
            " --device {resources.device} {resources.memory_limit}"
            " --checkpoint-seconds {resources.checkpoint_seconds} > {log:q} 2>&1"
