#!/usr/bin/env bash
# Builds RocksDB for `--features rocksdb` in ten minutes of two cores, where its crate takes the
# better part of an hour: the same sources with the same definitions, but some 25 of them at a time
# in one unit, so that headers are read once for all. Optimised as RocksDB's own Makefile does it
# (-O2, SSE 4.2), with LZ4 alone.
#
#     eval "$(bench/compare/rocksdb.sh)"
#     cargo run --release -p alluvium-compare --features rocksdb -- engines=alluvium,rocksdb
#
# Needs a C++ compiler, and for the crate's bindings libclang. What is built is kept in
# target/rocksdb.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo fetch >&2
version_of() { sed -n "/^name = \"$1\"$/{n;s/^version = \"\(.*\)\"/\1/p;}" Cargo.lock; }
sources="${CARGO_HOME:-$HOME/.cargo}/registry/src"
crate="$(find "$sources" -maxdepth 2 -name "librocksdb-sys-$(version_of librocksdb-sys)" | head -n 1)"
lz4="$(find "$sources" -maxdepth 2 -name "lz4-sys-$(version_of lz4-sys)" | head -n 1)"
out="$PWD/target/rocksdb"
mkdir -p "$out"

flags=(-std=c++20 -O2 -w -fPIC -fno-rtti -msse4.2 -mpclmul -ffunction-sections -fdata-sections)
for name in NDEBUG HAVE_ALIGNED_NEW HAVE_UINT128_EXTENSION LZ4=1 OS_LINUX ROCKSDB_PLATFORM_POSIX \
    ROCKSDB_LIB_IO_POSIX ROCKSDB_SCHED_GETCPU_PRESENT ROCKSDB_AUXV_GETAUXVAL_PRESENT \
    ROCKSDB_FALLOCATE_PRESENT ROCKSDB_RANGESYNC_PRESENT ROCKSDB_SUPPORT_THREAD_LOCAL; do
    flags+=("-D$name")
done
flags+=("-I$crate/rocksdb/include" "-I$crate/rocksdb" "-I$crate" "-I$lz4/liblz4/lib")

# A unit for each 25 files, and one for the version, which the crate brings.
rm -f "$out"/unit-*.cc
grep -v 'util/build_version.cc' "$crate/rocksdb_lib_sources.txt" |
    sed "s|^ *\(.*[^ ]\) *$|#include \"$crate/rocksdb/\1\"|" |
    split -l 25 -d --additional-suffix=.cc - "$out/unit-"
printf '#include "%s/build_version.cc"\n' "$crate" >"$out/unit-version.cc"
compile() { [[ -s "$1.o" ]] || { "${CXX:-c++}" "${@:2}" -c "$1.cc" -o "$1.part" && mv "$1.part" "$1.o"; }; }
export -f compile
find "$out" -name 'unit-*.cc' | sed 's/\.cc$//' |
    xargs -P "$(nproc)" -I UNIT bash -c 'compile "$@"' _ UNIT "${flags[@]}" >&2
ar crs "$out/librocksdb.a" "$out"/unit-*.o

printf 'export ROCKSDB_LIB_DIR=%q ROCKSDB_STATIC=1\n' "$out"
