#!/usr/bin/env bash
# The experiment on FlowMo's second stage in RESULTS.md: the embedded FlowMoTiny trained further, each way with as many
# images or for about as long, and judged on photos that nothing here was trained on. Prints a Markdown table; about 25
# minutes a seed on one core. Needs the targets flowmo_train, flowmo_quality and train_classifier.
#
#   benchmarks/quality/stage1b.sh cifar10-train.tar results [seeds]     seeds: such as "1 2"; default 1
#
# What is finished is kept in the folder, so that an interrupted experiment continues. FLOWFAR_BUILD names another build
# folder than build/release.
set -euo pipefail
data=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
seeds=${3:-1}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${FLOWFAR_BUILD:-build/release}
start=examples/models/flowmo_tiny.safetensors # held back 256 photos by seed 1

# The first classifier is the perceptual loss; the others only judge, one of the same shape and one of another. None saw the
# 2,000 photos held back by seed 1, which include those that FlowMoTiny did not see.
classifier() { # name, network, seed
    if [[ ! -f $out/$1.safetensors ]]; then
        "$build/benchmarks/quality/train_classifier" --data "$data" --out "$out/$1.safetensors" --network "$2" --seed "$3" \
            --split-seed 1 --validation 2000 --train-steps 4000 --threads 1 >&2
    fi
}
classifier perceptual residual 1
classifier alike residual 3
classifier unlike plain 2

judged() { # name, model, sampling options: a row of the table, kept
    local name=$1 model=$2 row
    shift 2
    row=$out/$(tr -c 'a-z0-9\n' _ <<<"$name").row
    if [[ ! -f $row ]]; then
        "$build/benchmarks/quality/flowmo_quality" --data "$data" --model "$model" --validation 256 --split-seed 1 --repeats 2 \
            --classifiers "$out/perceptual.safetensors,$out/alike.safetensors,$out/unlike.safetensors" --threads 1 \
            --name "$name" "$@" >"$row.new"
        mv "$row.new" "$row"
    fi
    cat "$row"
}

trained() { # name, seed, training options: then its two rows
    local name=$1 seed=$2 run
    shift 2
    run=$out/$(tr -c 'a-z0-9\n' _ <<<"$name")$seed
    "$build/examples/flowmo_train" "$data" -o "$run" --resume --decay cosine --clip 1 --ema-every 1 --ema-start published --validation 256 \
        --split-seed 1 --seed "$seed" --threads 1 --evaluate-every 0 --evaluate-count 8 --export-dtype f32 "$@" >&2
    judged "$name, seed $seed" "$run/model.safetensors"
    judged "$name, seed $seed, unshifted" "$run/model.safetensors" --power 1
}
further=(--init "$start" --batch 16 --lr 1e-4 --warmup 20 --ema-decay 0.98 --freeze-after 0)
features=(--perceptual features --perceptual-files "$out/perceptual.safetensors" --perceptual-factor)
echo "| trained | PSNR, dB | SSIM | perceptual | Fréchet | perceptual, alike | Fréchet, alike | perceptual, unlike | Fréchet, unlike |"
echo "|---|---|---|---|---|---|---|---|---|"
judged "start" "$start"
judged "start, unshifted" "$start" --power 1
for seed in $seeds; do
    trained "stage 1a" "$seed" "${further[@]}" --train-steps 400 --perceptual gradient
    trained "stage 1a, features" "$seed" "${further[@]}" --train-steps 400 "${features[@]}" 0.1
    trained "stage 1b" "$seed" "${further[@]}" --train-steps 400 --stage 1b --sample-steps 8 "${features[@]}" 0.1
    trained "stage 1b, weight 0.01" "$seed" "${further[@]}" --train-steps 400 --stage 1b --sample-steps 8 "${features[@]}" 0.01
    trained "stage 1a, as long" "$seed" "${further[@]}" --train-steps 2600 --perceptual gradient
    trained "stage 1a, as long, plain" "$seed" "${further[@]}" --train-steps 2600 --perceptual gradient \
        --time-distribution logit_normal
done
