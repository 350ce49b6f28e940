# Needs Go and make, nothing else; written for GNU make 3.81 and later.

GO       ?= go
FUZZTIME ?= 60s
BENCH    ?= .

# For how long to repeat what each benchmark measures, or how often ("100x").
BENCHTIME ?= 1s

# Of a release, its tag; of another commit, the distance from one. Only this
# directory's own repository is asked, not one that happens to lie around it.
VERSION ?= $(shell { test -e .git && git describe --tags --always --dirty 2>/dev/null; } || echo unknown)

# What must build everywhere is built for these, without cgo.
PLATFORMS = illumos/amd64 linux/arm64 darwin/arm64

# The race detector needs a platform that has it and, on most, cgo with a C
# compiler. Set RACE= to go without.
RACE ?= $(shell $(GO) list -race unsafe >/dev/null 2>&1 && \
	{ test "$$($(GO) env GOOS)" = darwin || command -v $$($(GO) env CC) >/dev/null 2>&1; } && echo -race)

.PHONY: help
help: ## Say what there is to make (the default).
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: FUZZTIME=$(FUZZTIME) for each fuzz target, BENCH=$(BENCH) for a pattern, RACE= for no race detector.'

.PHONY: build
build: ## Build the programs into bin/.
	@echo '==> build bin/ ($(VERSION))'
	@$(GO) build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

.PHONY: test
test: ## Run all tests, with the race detector where there is one.
	@$(if $(RACE),:,echo '==> no race detector here: it needs cgo and a C compiler')
	@echo '==> $(GO) test $(RACE) -shuffle=on ./...'
	@$(GO) test $(RACE) -shuffle=on ./...

.PHONY: check
check: check-format check-vet check-lint check-imports check-modules check-platforms ## Check all that needs no test run.

.PHONY: check-format
check-format:
	@echo '==> gofmt'
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && \
	if [ -n "$$files" ]; then echo 'gofmt would change:'; echo "$$files"; exit 1; fi

.PHONY: check-vet
check-vet:
	@echo '==> go vet'
	@$(GO) vet ./...

.PHONY: check-lint
check-lint:
	@echo '==> staticcheck'
	@$(GO) tool staticcheck ./...

.PHONY: check-imports
check-imports:
	@echo '==> rules of architecture'
	@$(GO) test ./internal/archtest

.PHONY: check-modules
check-modules:
	@echo '==> go mod tidy'
	@$(GO) mod tidy -diff

# vet also type-checks the tests; the illumos ones are linked as well, since no
# other machine here would ever do it.
.PHONY: check-platforms
check-platforms:
	@set -e; for platform in $(PLATFORMS); do \
		echo "==> build for $$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -buildvcs=false -o /dev/null ./...; \
	done
	@echo '==> go vet and link the tests for illumos/amd64'
	@CGO_ENABLED=0 GOOS=illumos GOARCH=amd64 $(GO) vet ./...
	@CGO_ENABLED=0 GOOS=illumos GOARCH=amd64 $(GO) test -c -o /dev/null ./... >/dev/null

# Prints "package function" for each test function of the kind $(1).
functions = $(GO) test -list '^$(1)' ./... | \
	awk '$$1 == "FAIL" { exit 1 } /^$(1)/ { f[n++] = $$1 } $$1 == "ok" { for (i = 0; i < n; i++) print $$2, f[i]; n = 0 }'

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME.
	@set -e; found=$$($(call functions,Fuzz)); echo "$$found" | while read -r package function; do \
		test -n "$$function" || continue; \
		echo "==> $$function of $$package, $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$function\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done

# What is measured on the whole agent comes last: it ends with a table.
.PHONY: bench
bench: ## Run the benchmarks that match BENCH, each beside its floor.
	@set -e; whole=./cmd/sled-agent/bench; \
	for package in $$(find . -name '*_test.go' -exec grep -l '^func Benchmark' {} + | xargs -n 1 dirname | \
		sort -u | grep -v "^$$whole\$$") $$whole; do \
		echo "==> $$package"; memory=-benchmem; test $$package != $$whole || memory=; \
		$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) $$memory $$package | \
		awk '/^(goos|goarch|pkg|cpu|PASS|ok)/ { next } /^(--- )?FAIL/ { bad = 1 } { print } END { exit bad }'; \
	done

.PHONY: demo
demo: build ## Build, then watch the agent survive a Propolis that does not stop.
	@bin/sledctl demo

.PHONY: man
man: build ## Put all man pages into bin/man; read them with man -M bin/man sledctl.
	@echo '==> bin/man'
	@mkdir -p bin/man/man1 bin/man/man8
	@cp docs/man/*.1 bin/man/man1/ && cp docs/man/*.8 bin/man/man8/
	@SLED_AGENT_SOCKET= bin/sledctl docs man bin/man/man1

.PHONY: clean
clean: ## Remove what make made.
	@echo '==> clean'
	@rm -rf bin
