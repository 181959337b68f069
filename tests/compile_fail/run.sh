#!/usr/bin/env bash
# run.sh <source> <compiler> <options...>: passes when the source fails to compile with an error line that contains the text
# promised in its first line, and compiles when FLOWFAR_FIXED is defined. Lines "// and: <text>" below it are parts of the whole
# message; "// options: ..." are compiler options of the wrong program only.
set -euo pipefail
source_file=$1
shift

promise=$(head -n 1 "$source_file")
expected=${promise#// expect: }
if [[ $promise == "$expected" || -z $expected ]]; then
    echo "$source_file: the first line must be '// expect: <part of the message>'"
    exit 1
fi

options=$(sed -n 's|^// options: ||p' "$source_file")
# shellcheck disable=SC2086  # the options are words
if output=$("$@" $options "$source_file" 2>&1); then
    echo "$source_file: compiled, but must fail with: $expected"
    exit 1
fi
if ! grep -F 'error:' <<<"$output" | grep -F -- "$expected" >/dev/null; then
    printf '%s: failed without the promised error\nexpected: %s\nfound:\n%s\n' "$source_file" "$expected" "$output"
    exit 1
fi
while IFS= read -r part; do
    if ! grep -qF -- "$part" <<<"$output"; then
        printf '%s: the message lacks: %s\nfound:\n%s\n' "$source_file" "$part" "$output"
        exit 1
    fi
done < <(sed -n 's|^// and: ||p' "$source_file")
if ! output=$("$@" -DFLOWFAR_FIXED "$source_file" 2>&1); then
    printf '%s: must compile with -DFLOWFAR_FIXED, but:\n%s\n' "$source_file" "$output"
    exit 1
fi
printf 'fails as promised: %s\n' "$expected"
