#!/usr/bin/env bash
# The demo: index the documentation of the standard library of the Go toolchain
# on this machine, then answer questions about it.
set -euo pipefail
cd "$(dirname "$0")/.."
store=.cache/demo/store
bin=bin/colbertdb
mkdir -p .cache/demo
# A store belongs to the model that made it.
model=$(cat encoder/bundled/model/* | cksum)
if [ "$model" != "$(cat .cache/demo/model 2>/dev/null)" ]; then
	rm -rf "$store"
	echo "$model" > .cache/demo/model
fi

echo "Indexing the documentation of Go's standard library ($(go env GOVERSION)) with the built-in model."
echo "The first time takes a few minutes; afterwards only what changed is encoded."
$bin index --db $store --go-doc "$(go env GOROOT)/src"

ask() {
	echo
	echo "──────────────────────────────────────────────────────────────────────"
	echo "? $1"
	$bin search --db $store --k 3 "$1"
}
ask "read a whole file into memory"
ask "remove spaces at both ends of a text"
ask "wait until a group of goroutines has finished"
ask "turn a struct into JSON"
ask "stop a running operation after a deadline"

cat <<END

──────────────────────────────────────────────────────────────────────
What to try next:

  $bin search --db $store "your own question"
  $bin search --db $store --explain "sort a slice by a key"      which words matched which
  $bin index  --db notes.db ~/notes                              your own Markdown, text or code
  $bin search --db notes.db "what did I write about …"
  $bin stats  --db $store
END
