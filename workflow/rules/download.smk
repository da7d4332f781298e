rule download_source:
    output:
        f"{DOWNLOADS}{{url_path}}",
    log:
        f"{RESULTS}logs/download_source/{{url_path}}.log",
    benchmark:
        f"{RESULTS}benchmarks/download_source/{{url_path}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        url=lambda wildcards: DOWNLOADED[wildcards.url_path].url,
        checks=checks_of,
    shell:
        "sparsenode download-source --url {params.url:q} {params.checks}"
        " --output {output:q} > {log:q} 2>&1"


rule unpack_source:
    input:
        f"{DOWNLOADS}{{unpacked_path}}.gz",
    output:
        f"{DOWNLOADS}{{unpacked_path}}",
    log:
        f"{RESULTS}logs/unpack_source/{{unpacked_path}}.log",
    benchmark:
        f"{RESULTS}benchmarks/unpack_source/{{unpacked_path}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    shell:
        "sparsenode unpack-source --packed {input:q} --output {output:q} > {log:q} 2>&1"
