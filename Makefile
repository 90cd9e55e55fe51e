# colbertdb. `make` lists the targets.

export COLBERTDB_ONNXRUNTIME ?= $(CURDIR)/.cache/onnxruntime/lib/libonnxruntime$(if $(filter Darwin,$(shell uname -s)),.dylib,.so)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# How long make reliability runs each fuzz target; 10m on a night of its own.
FUZZ ?= 30s
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

# The demo encodes in Go where there are kernels for it, else with ONNX Runtime.
DEMO_NEEDS = $(if $(filter x86_64 amd64,$(shell uname -m)),,onnxruntime)

.PHONY: demo
demo: $(DEMO_NEEDS) build ## index the documentation of Go's standard library and answer questions
	@scripts/demo.sh

.PHONY: demo-check
demo-check: $(DEMO_NEEDS) build ## check the demo's answers, and that they come from the vectors
	@scripts/demo.sh > /dev/null
	go run ./scripts/democheck -db .cache/demo/store -least 8

.PHONY: test
test: onnxruntime ## the whole test suite
	go vet ./...
	go test ./codec ./query
	go test -race -timeout 40m ./...

.PHONY: race
race: onnxruntime ## the suite with the race detector, twice
	go test -race -count=2 -timeout 80m ./...

.PHONY: noasm
noasm: ## the suite of everything that computes, without assembly
	go test -short -tags noasm ./internal/simd ./codec ./segment ./query ./engine

.PHONY: fuzz
fuzz: ## every fuzz target for ten seconds
	@scripts/fuzz.sh 10s

.PHONY: reliability
reliability: ## the full lane of docs/reliability.md, then the planted bugs
	COLBERTDB_RELIABILITY=full go test -count=1 -timeout 60m -v ./internal/reliability
	COLBERTDB_RELIABILITY=full go test -count=1 -timeout 30m ./engine ./wal ./segment ./encoder/onnx
	go run ./scripts/mutants
	@scripts/fuzz.sh $(FUZZ)

.PHONY: mutants
mutants: ## plant known bugs and see the tests find them
	go run ./scripts/mutants

.PHONY: bench
bench: ## the benchmarks of kernels, codec, storage and search
	go test -run '^$$' -bench . -benchmem ./internal/simd ./codec ./segment ./wal ./query

.PHONY: benchmarks
benchmarks: $(DEMO_NEEDS) ## measure docs/benchmarks.md anew: DATA=DIR VECTORS=DIR [ONLY=REGEXP]
	go run ./scripts/benchmarks -only '$(ONLY)'

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	go run $(STATICCHECK) ./...

.PHONY: cover
cover: onnxruntime ## test coverage by package
	go test -cover ./...

.PHONY: cross
cross: ## build without cgo for every platform
	@scripts/cross.sh

.PHONY: arm64
arm64: ## the kernels of arm64, in emulation where this is another machine
	@scripts/arm64.sh

.PHONY: clients
clients: ## clients from Go, npm and PyPI that others wrote, against colbertdb serve
	@scripts/clients.sh

.PHONY: integrations
integrations: ## the packages and adapters in integrations/, against those that they adapt to
	@scripts/integrations-python.sh
	@scripts/integrations-js.sh
	@scripts/integrations-go.sh

.PHONY: vuln
vuln: ## known vulnerabilities of what is linked, where the database can be reached
	@go run $(GOVULNCHECK) ./... || { echo "govulncheck found something, or could not reach its database (see above)"; }

.PHONY: notices
notices: ## write THIRD_PARTY_NOTICES.md anew
	go run ./scripts/notices > THIRD_PARTY_NOTICES.md

.PHONY: onnxruntime
onnxruntime: ## fetch the ONNX Runtime library, pinned and checked
	@scripts/fetch-onnxruntime.sh > /dev/null

.PHONY: tokenizers
tokenizers: ## build the Hugging Face tokenizers for -tags hf_tokenizers, and test them against those in Go
	@scripts/build-tokenizers.sh > /dev/null
	CGO_LDFLAGS=-L$(CURDIR)/.cache/tokenizers go test -tags hf_tokenizers -run 'Same|TokenizerLibrary' ./encoder/tokenizer/hf ./cmd/colbertdb

.PHONY: build
build: ## build bin/colbertdb
	go build -o bin/colbertdb ./cmd/colbertdb
