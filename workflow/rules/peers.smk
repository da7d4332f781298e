rule infer_peer:
    input:
        data=f"{RESULTS}data/{{dataset}}.h5ad",
    output:
        f"{RESULTS}peers/{{dataset}}/{{peer}}.parquet",
    log:
        f"{RESULTS}logs/infer_peer/{{dataset}}/{{peer}}.log",
    benchmark:
        f"{RESULTS}benchmarks/infer_peer/{{dataset}}/{{peer}}.tsv"
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        options=peer_settings("options"),
        peer=peer_settings("peer"),
        order=peer_settings("order"),
        seeds=peer_settings("seeds"),
        version=versions.PEERS,
    shell:
        "sparsenode infer-peer --data {input.data:q} --peer {params.peer} --options {params.options:q}"
        " --seeds {params.seeds} --order {params.order} --output {output:q} > {log:q} 2>&1"
