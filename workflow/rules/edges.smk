rule infer_edges:
    input:
        data=f"{RESULTS}data/{{dataset}}.h5ad",
    output:
        **{
            kind: f"{RESULTS}edges/{{dataset}}/{name}"
            for kind, name in EDGE_FILES.items()
        },
    log:
        f"{RESULTS}logs/infer_edges/{{dataset}}/test.log",
    benchmark:
        f"{RESULTS}benchmarks/infer_edges/{{dataset}}.tsv"
    conda:
        "../../envs/sparsenode.yaml"
    threads: config["threads"]
    resources:
        mem_mb=edges_memory,
        runtime=edges_minutes,
    params:
        settings=edges_settings,
        folder=folder_of("edges"),
        version=versions.EDGES,
    shell:
        "sparsenode infer-edges --data {input.data:q} --settings {params.settings:q} --threads {threads}"
        " --output {params.folder:q} > {log:q} 2>&1"
