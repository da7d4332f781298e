rule preprocess_dataset:
    input:
        downloads=downloads_of,
        local=local_files_of,
    output:
        f"{RESULTS}data/{{dataset}}.h5ad",
    log:
        f"{RESULTS}logs/preprocess_dataset/{{dataset}}.log",
    benchmark:
        f"{RESULTS}benchmarks/preprocess_dataset/{{dataset}}.tsv"
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        downloads=os.path.normpath(config["downloads_dir"]),
        settings=lambda wildcards: configuration.canonical_json(
            configuration.dataset_settings(config, wildcards.dataset)
        ),
        version=versions.PREPROCESSING,
    shell:
        "sparsenode preprocess-dataset --name {wildcards.dataset} --settings {params.settings:q}"
        " --downloads {params.downloads:q} --output {output:q} > {log:q} 2>&1"
