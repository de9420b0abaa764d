#!/bin/sh
# script/fuzz.sh NAME...: libFuzzer on $BUILD/test/fuzz/fuzz_NAME for $FUZZ_SECONDS each.
#
# Starts from test/fuzz/corpus/NAME and keeps what it finds in .cache/fuzz/NAME. A crashing input is
# left in $BUILD as NAME-crash-*: mend the code, then move the file into the corpus.
set -u
build=${BUILD:-build-fuzz} seconds=${FUZZ_SECONDS:-60} bad=0
[ $# -gt 0 ] || { echo "fuzz.sh: no target has that name" >&2; exit 1; }
for name in "$@"; do
    mkdir -p ".cache/fuzz/$name" "test/fuzz/corpus/$name"
    set -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
        -artifact_prefix="$build/$name-" ".cache/fuzz/$name" "test/fuzz/corpus/$name"
    [ ! -f "test/fuzz/$name.dict" ] || set -- -dict="test/fuzz/$name.dict" "$@"
    if "$build/test/fuzz/fuzz_$name" "$@" >"$build/$name.log" 2>&1; then
        echo "ok    $name: $seconds s, $(ls ".cache/fuzz/$name" | wc -l) inputs kept in .cache/fuzz/$name"
    else
        tail -n 60 "$build/$name.log"
        echo "FAIL  $name: the input is in $build/$name-*"
        bad=1
    fi
done
exit $bad
