rule download_source:
    output:
        f"{DOWNLOADS}/{{url_path}}",
    log:
        f"{RESULTS}/logs/download_source/{{url_path}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/download_source/{{url_path}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=60,
    params:
        url=lambda wildcards: REMOTE_FILES[wildcards.url_path].url,
        checks=checks_of,
    shell:
        "sparsenode download-source --url {params.url:q} {params.checks}"
        " --output {output:q} > {log:q} 2>&1"
