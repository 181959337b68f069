#!/usr/bin/env bash
# The first hour of somebody who has just built the programs: natural calls give right results, training shows progress,
# mistakes explain themselves. Usage: first_hour.sh PROGRAMS HELPER SCRATCH (folder of the programs, tests/first_hour.cpp as
# a program, a folder to write to). A test of ctest; half a minute on two cores.
set -euo pipefail
programs=$1 helper=$2 scratch=$3
models=$(cd "$(dirname "${BASH_SOURCE[0]}")/../examples/models" && pwd)
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
fail() {
    echo "FAILED: $*" >&2
    tail -n 20 out err >&2 || true
    exit 1
}
# expect CODE PROGRAM ARGUMENTS…: runs it; what it prints is in out and err.
expect() {
    local code=$1 found=0 program=$2
    shift 2
    "$programs/$program" "$@" >out 2>err || found=$?
    [[ $found == "$code" ]] || fail "$program $*: exit code $found, expected $code"
}
# says FILE TEXT: the text is in it.
says() { grep -qF -- "$2" "$1" || fail "$1 does not say: $2"; }
# number KEY FILE: the last value of a key in lines of JSON.
number() { grep -o "\"$1\":[-0-9.e+]*" "$2" | tail -n 1 | cut -d: -f2; }
# above A B MARGIN: A ≥ B + MARGIN
above() { awk -v a="$1" -v b="$2" -v m="$3" 'BEGIN { exit !(a >= b + m) }'; }

step "photos of one's own"
"$helper" photos photos 96

step "pictures of classes: the README's call and the program give the same, to the bit"
"$programs/tutorial/05_far" cpu "$models/far_tiny.safetensors" natural.png >out
expect 0 far_generate --classes automobile,7 --count 1 --seed 7 --folder classes
"$helper" beside natural.png classes/class_1/0.png classes/class_7/1.png || fail "other pictures than those of the library's call"
expect 1 far_generate --classes automobil
says err 'did you mean automobile?'

step "short training with the default options beats noise"
expect 0 flowmo_train photos -o untrained --train-steps 1 --evaluate-count 16
noise=$(number psnr untrained/log.jsonl)
expect 0 flowmo_train photos -o trained --train-steps 100 --evaluate-count 16
trained=$(number psnr trained/log.jsonl) raw=$(number raw_psnr trained/log.jsonl)
echo "        noise $noise dB, trained $trained dB, raw weights $raw dB"
above "$trained" "$noise" 2 || fail "trained: $trained dB, noise $noise dB"
above "$trained" "$raw" -1 || fail "the averaged weights give $trained dB, the raw ones $raw dB"
[[ $(grep -c '"event":"validation"' trained/log.jsonl) == 2 ]] || fail "expected evaluations at 50 and 100 steps"

step "Ctrl-C, twice at once as wrappers send it, keeps everything"
"$programs/flowmo_train" photos -o stopped --resume >out 2>err &
run=$!
until grep -qs '"event":"step"' stopped/log.jsonl; do
    kill -0 $run || fail "flowmo_train ended by itself"
    sleep 0.05
done
kill -INT $run
kill -TERM $run || true
code=0
wait $run || code=$?
# Two threads may take one signal each at once: either is the first.
[[ $code == 130 || $code == 143 ]] || fail "exit code $code, expected 130 or 143"
says err 'stopping after this step, again to abandon'
for file in state.safetensors model.safetensors loss.png samples.png; do
    [[ -s stopped/$file ]] || fail "stopped/$file is missing"
done
at=$(sed -n 's/^interrupted and saved at step \([0-9]*\):.*/\1/p' out)
expect 0 flowmo_train photos -o stopped --resume --train-steps "$at"
says out "resumed at step $at"

step "photo, tokens, photo"
expect 0 flowmo_tokenize photos/even -o tokens --model trained/model.safetensors
! grep -q PSNR out || fail "flowmo_tokenize reconstructs without being asked to"
expect 0 flowmo_reconstruct tokens/0.tokens -o again.png --model trained/model.safetensors --original photos/even/0.png
says out 'PSNR, SSIM: '
expect 0 flowmo_evaluate again.png --model trained/model.safetensors --count 1

step "mistakes explain themselves"
expect 1 flowmo_reconstruct again.png -o never.png --model "$models/far_tiny.safetensors"
says err 'far_tiny.safetensors: this is a FAR file, FlowMo expected'
expect 1 far_generate --model "$models/flowmo_tiny.safetensors" -o never.png
says err 'flowmo_tiny.safetensors: this is a FlowMo file, FAR expected'
expect 1 flowmo_baselines photos/even --model trained/model.safetensors
says err 'not the images that trained/model.safetensors was trained on'
expect 2 flowmo_train photos -o never --train-stesp 5
says err 'did you mean --train-steps?'
expect 0 flowmo_train photos -o old --steps 1 --evaluate-count 1
says err '--steps is now called --train-steps'
step "done"
