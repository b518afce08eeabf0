# In: results/{study}/saes/l0_{l0}/seed_{seed}/manifest.json with its SAE, and the sealed manifest of
# the activation cache. Out: results/{study}/decoder_metrics/l0_{l0}/seed_{seed}/.


rule project_decoder:
    """s_n^dec for every n, c_dec, and the histogram of the decoder projections of one SAE."""
    input:
        sae=f"{RESULTS}/saes/l0_{{l0}}/seed_{{seed}}/manifest.json",
        activations=SOURCE,
    output:
        manifest=f"{RESULTS}/decoder_metrics/l0_{{l0}}/seed_{{seed}}/manifest.json",
        s_n_dec=f"{RESULTS}/decoder_metrics/l0_{{l0}}/seed_{{seed}}/s_n_dec.csv",
        c_dec=f"{RESULTS}/decoder_metrics/l0_{{l0}}/seed_{{seed}}/c_dec.csv",
        histogram=f"{RESULTS}/decoder_metrics/l0_{{l0}}/seed_{{seed}}/histogram.npz",
    log:
        f"{RESULTS}/logs/project_decoder/l0_{{l0}}/seed_{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/project_decoder/l0_{{l0}}/seed_{{seed}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        device=DEVICE,
        gpu=1,
        mem_mb=memory("project_decoder"),
        runtime=runtime("project_decoder"),
    params:
        settings=lambda wildcards: plan_of(wildcards).settings_decoder_metrics(),
        recipe=recipe("project_decoder"),
    script:
        "../scripts/project_decoder.py"
