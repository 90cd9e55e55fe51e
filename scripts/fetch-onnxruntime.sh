#!/usr/bin/env bash
# Fetches the shared library of ONNX Runtime, CPU provider, into
# .cache/onnxruntime/lib and prints its path. Does nothing where it is there.
#
#     scripts/fetch-onnxruntime.sh [folder]
#
# It comes from whichever of these works first: the Python package onnxruntime
# (pip, 18 MB), the Node package onnxruntime-node (npm, 100 MB), the project's
# release archive (curl). The file is checked against the sums below.
set -euo pipefail

version=1.27.0 # at least 1.24.1: the Go binding asks for version 24 of the C API

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${1:-$root/.cache/onnxruntime/lib}

# For each platform: the wheel's tag, the folder in the Node package, the
# archive's name, the library's file name, and the sums of the library in the
# wheel and in the Node package.
case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
	wheel=manylinux_2_28_x86_64 node=linux/x64 archive=linux-x64 name=libonnxruntime.so.1 file=libonnxruntime.so
	sums="b5c9d4f124d24707f514dad926dc181820807178855df1c528e3addb2dd0e6f7 d8aff4aa8abee8fb2abb2f2f2459ffc94461e781e41b9f7c072829dd0d470221" ;;
Linux-aarch64)
	wheel=manylinux_2_28_aarch64 node=linux/arm64 archive=linux-aarch64 name=libonnxruntime.so.1 file=libonnxruntime.so
	sums="9275ef52956228686ae47b0219f67476a1148505084bdc5571e7bf1bf69b11f2 c36bc200e7e6c093b8abb0b34590fbdd8c52fd3fb5e33795b9523ffdde2fce0f" ;;
Darwin-arm64)
	wheel=macosx_14_0_arm64 node=darwin/arm64 archive=osx-arm64 name=libonnxruntime.$version.dylib file=libonnxruntime.dylib
	sums="49422a138fff12d7fcbd544373aefbffd510e473e08e18af28a8ecc3581029bf 89f692a3a1a224e4ad0b796b0e7c0bd81113b0741bfe84211eceef14d05a9e59" ;;
*)
	echo "fetch-onnxruntime: no library is known for $(uname -s) on $(uname -m)." >&2
	echo "Install ONNX Runtime $version or later yourself and set COLBERTDB_ONNXRUNTIME to its shared library." >&2
	exit 1 ;;
esac

sum() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

# genuine FILE: FILE is the library, unaltered.
genuine() { [ -f "$1" ] && case " $sums " in *" $(sum "$1") "*) ;; *) return 1 ;; esac; }

if genuine "$dir/$file"; then
	echo "$dir/$file"
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Each source leaves the library at $tmp/library.
from_pip() {
	command -v python3 >/dev/null || return 1
	python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
		--python-version 3.12 --implementation cp --abi cp312 --platform "$wheel" \
		-d "$tmp/wheel" "onnxruntime==$version" || return 1
	python3 - "$tmp" <<-'PY'
		import glob, re, sys, zipfile
		tmp = sys.argv[1]
		with zipfile.ZipFile(glob.glob(tmp + "/wheel/*.whl")[0]) as z:
		    name = next(n for n in z.namelist() if re.search(r"capi/libonnxruntime\.(so\.[\d.]+|[\d.]+\.dylib)$", n))
		    with open(tmp + "/library", "wb") as f:
		        f.write(z.read(name))
	PY
}
from_npm() {
	command -v npm >/dev/null || return 1
	(cd "$tmp" && npm pack --silent "onnxruntime-node@$version" >/dev/null) || return 1
	tar -xzOf "$tmp/onnxruntime-node-$version.tgz" "package/bin/napi-v6/$node/$name" >"$tmp/library"
}
from_release() {
	command -v curl >/dev/null || return 1
	local base=onnxruntime-$archive-$version
	curl -fsSL -o "$tmp/release.tgz" "https://github.com/microsoft/onnxruntime/releases/download/v$version/$base.tgz" || return 1
	mkdir "$tmp/release" && tar -xzf "$tmp/release.tgz" -C "$tmp/release" || return 1
	cp -L "$tmp/release/$base/lib/$file" "$tmp/library"
}

for source in pip npm release; do
	echo "fetch-onnxruntime: ONNX Runtime $version from $source ..." >&2
	rm -f "$tmp/library"
	"from_$source" || continue
	if ! genuine "$tmp/library"; then
		echo "fetch-onnxruntime: the library from $source has an unknown checksum, $(sum "$tmp/library"); not used." >&2
		continue
	fi
	mkdir -p "$dir"
	chmod 755 "$tmp/library"
	cp "$tmp/library" "$dir/.$file.$$" && mv "$dir/.$file.$$" "$dir/$file" # whole or not at all
	echo "$dir/$file"
	exit 0
done
echo "fetch-onnxruntime: none of pip, npm and curl could get it. Install ONNX Runtime $version or later yourself and set COLBERTDB_ONNXRUNTIME to its shared library." >&2
exit 1
