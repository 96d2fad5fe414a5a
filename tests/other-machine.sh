#!/usr/bin/env bash
# The same inputs are the same bytes on a machine of another kind: the command line is built for it and run
# under an emulator; what it writes is compared with what this machine writes, and each proves the other's.
#
#     tests/other-machine.sh [aarch64 | i686 | s390x]
#
# aarch64 is what the program is also built for; i686 has words of 32 bits, s390x the other order of bytes.
# Debian has what is needed besides a standard library for the compiler (`rustup target add`, or rustc-web):
# gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static. Passed over where one of them is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-aarch64}
case $kind in
aarch64 | s390x) emulator=qemu-$kind-static ;;
i686) emulator=qemu-i386-static ;;
*)
    echo "$kind is no kind of machine that is known here: aarch64, i686 or s390x" >&2
    exit 2
    ;;
esac
target=$kind-unknown-linux-gnu linker=$kind-linux-gnu-gcc libraries=/usr/$kind-linux-gnu

pass_over() {
    echo "passed over: $*"
    exit 0
}
for needed in "$linker" "$emulator"; do
    command -v "$needed" >/dev/null 2>&1 || pass_over "there is no $needed here"
done
[ -e "$libraries/lib" ] || pass_over "there are no libraries in $libraries"

# The compiler of this workspace, or else the system's own, if it can build for such a machine.
builds_for_it() {
    compgen -G "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/$target/lib/libstd-*" >/dev/null
}
if builds_for_it rustc; then
    compiler=rustc
elif builds_for_it /usr/bin/rustc; then
    compiler=/usr/bin/rustc
else
    pass_over "no compiler here has a standard library for $target"
fi

name=$(tr a-z- A-Z_ <<<"$target")
env RUSTC="$compiler" "CARGO_TARGET_${name}_LINKER=$linker" CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo build --locked --quiet --release -p tensorforge-cli --no-default-features --target "$target" --target-dir target/other-machine
cargo build --locked --quiet -p tensorforge-cli

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/here" "$scratch/there"
ln -s "$PWD/fixtures" "$scratch/here/fixtures"
ln -s "$PWD/fixtures" "$scratch/there/fixtures"
workspace=$PWD
here() { (cd "$scratch/here" && "$workspace/target/debug/tensorforge" "$@"); }
there() {
    (cd "$scratch/there" && "$emulator" -L "$libraries" "$workspace/target/other-machine/$target/release/tensorforge" "$@")
}

# What a reader says to a journal of the other machine is what that machine says.
agree() {
    local journal=$1 words
    shift
    for words in "$@"; do
        # shellcheck disable=SC2086
        cmp <(here ${words/DIR/../there/$journal}) <(there ${words/DIR/../here/$journal}) || {
            echo "$kind answers otherwise to: $words, of $journal" >&2
            exit 1
        }
    done
}

journals=0
while read -r journal words; do
    # shellcheck disable=SC2086
    here capture $words --no-sync --out "$journal" >/dev/null
    # shellcheck disable=SC2086
    there capture $words --no-sync --out "$journal" >/dev/null
    diff -r "$scratch/here/$journal" "$scratch/there/$journal" || {
        echo "$kind writes other bytes: capture $words" >&2
        exit 1
    }
    here verify "../there/$journal" >/dev/null
    there verify "../here/$journal" >/dev/null
    agree "$journal" "log --json DIR" "state --json DIR" "explain DIR --order 17" "snapshot check DIR"
    journals=$((journals + 1))
done <<'END'
morning.tfj
rough.tfj --trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/rough-seas.toml --policy fixtures/policies/thrifty.toml --seed 7 --frame-records 100
regions.tfj --trace fixtures/traces/long-tail.jsonl --fleet fixtures/fleets/two-regions.toml --policy fixtures/policies/swift.toml --snapshot-every 1024
halves.tfj --fleet fixtures/fleets/prefill-decode.toml --policy fixtures/policies/cautious.toml --snapshot-every 1024 --frame-records 7
END

# What is drawn with floats is drawn alike.
for recipe in fixtures/traces/*.gen.toml; do
    trace=${recipe%.gen.toml}.jsonl
    cmp "$trace" <(there generate "$recipe") || {
        echo "$kind generates another trace from $recipe" >&2
        exit 1
    }
done
there snapshot-test fixtures/scenarios --snapshots "$workspace/snapshots/scenarios" >/dev/null

echo "$kind and $(uname -m): $journals journals are the same bytes, and each proves the other's"
