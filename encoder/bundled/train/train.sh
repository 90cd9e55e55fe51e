#!/usr/bin/env bash
# From nothing to the model folder: DATA is the folder of judged collections.
#
#     encoder/bundled/train/train.sh DATA
#
# Stopped, it goes on from the last checkpoint. Everything that it makes lies in
# work/, but for the model and its golden vectors.
set -euo pipefail
data=$(realpath "$1")
cd "$(dirname "$0")"
[ -e venv ] || { python3 -m venv venv && venv/bin/pip install -q -r requirements.txt; }
python=venv/bin/python
[ -e work/queries.bin ] || $python pairs.py --data "$data"
if [ ! -e work/end.safetensors ]; then
	[ -e work/tokenizer.json ] || $python -c 'import pathlib, train; train.start_weights(pathlib.Path("work"))'
	[ -e work/query_weights.json ] || $python idf.py
	$python train.py --minutes 55 $([ -e work/checkpoint.pt ] && echo --resume)
fi
$python means.py
$python ../export/export.py --weights work/trained.safetensors --query-weights work/query_weights.json --out ../model --golden ../testdata/golden.json
cp work/queries.bin queries.bin
