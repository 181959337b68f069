#!/usr/bin/env bash
# Runs a compiler command and, when it compiled a unit, appends one line to the file $FLOWFAR_COSTS:
# <source> TAB <CPU seconds> TAB <wall seconds> TAB <peak memory in KiB, or - without GNU time>
set -u
unit=""
for argument in "$@"; do
    case $argument in
        -E) exec "$@" ;;
        -*) ;;
        *.cpp | *.cxx | *.cu) unit=$argument ;;
    esac
done
if [[ -z $unit || -z ${FLOWFAR_COSTS:-} ]]; then
    exec "$@"
fi

measured=$(mktemp) || exec "$@"
if [[ -x /usr/bin/time ]] && /usr/bin/time -q -f '%U %S %e %M' -o "$measured" true 2>/dev/null; then
    /usr/bin/time -q -f '%U %S %e %M' -o "$measured" "$@"
    status=$?
else
    TIMEFORMAT='%U %S %R -'
    { time "$@" 2>&3; } 3>&2 2>"$measured"
    status=$?
fi
if [[ $status -eq 0 ]]; then
    awk -v unit="$unit" 'NF == 4 { printf "%s\t%.2f\t%.2f\t%s\n", unit, $1 + $2, $3, $4 }' "$measured" >>"$FLOWFAR_COSTS"
fi
rm -f "$measured"
exit $status
