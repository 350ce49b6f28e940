# Needs Go and make, nothing else; written for GNU make 3.81 and later.

GO       ?= go
FUZZTIME ?= 60s
BENCH    ?= .

# For how long to repeat what each benchmark measures, or how often ("100x").
BENCHTIME ?= 1s

# Of a release, its tag; of another commit, the distance from one. Only this
# directory's own repository is asked, not one that happens to lie around it.
VERSION ?= $(shell { test -e .git && git describe --tags --always --dirty 2>/dev/null; } || echo unknown)

# Where "make install" puts things: DESTDIR stands before every path. TARGET is the
# system to install for, BIN where its programs are.
PREFIX  ?= /usr
DESTDIR ?=
TARGET  ?= $(shell $(GO) env GOOS)
BIN     ?= bin

# Every file in a packed release has this time: that of the commit.
SOURCE_DATE_EPOCH ?= $(shell { test -e .git && git log -1 --format=%ct 2>/dev/null; } || echo 0)

# What must build everywhere is built for these, without cgo.
PLATFORMS = illumos/amd64 linux/arm64 darwin/arm64

# The race detector needs a platform that has it and, on most, cgo with a C
# compiler. Set RACE= to go without.
RACE ?= $(shell $(GO) list -race unsafe >/dev/null 2>&1 && \
	{ test "$$($(GO) env GOOS)" = darwin || command -v $$($(GO) env CC) >/dev/null 2>&1; } && echo -race)

# By default each test program sleeps for a second before it ends, in case that
# the detector has something left to say.
export GORACE ?= atexit_sleep_ms=50

.PHONY: help
help: ## Say what there is to make (the default).
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: FUZZTIME=$(FUZZTIME) for each fuzz target, BENCH=$(BENCH) for a pattern, RACE= for no race detector,'
	@echo 'BACKEND=illumos for a demo with zones of illumos.'

.PHONY: build
build: ## Build the programs into bin/.
	@echo '==> build $(BIN)/ ($(VERSION))'
	@$(GO) build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

.PHONY: test
test: ## Run all tests, with the race detector where there is one.
	@$(if $(RACE),:,echo '==> no race detector here: it needs cgo and a C compiler')
	@echo '==> $(GO) test $(RACE) -shuffle=on ./...'
	@$(GO) test $(RACE) -shuffle=on ./...

.PHONY: check
check: check-format check-vet check-lint check-imports check-modules check-platforms check-kstat ## Check all that needs no test run.

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

.PHONY: check-kstat
check-kstat:
	@echo '==> type-check what is for illumos with cgo alone'
	@GO='$(GO)' sh zone/illumos/kstat/typecheck.sh

# Prints "package function" for each test function of the kind $(1).
functions = $(GO) test -list '^$(1)' ./... | \
	awk '$$1 == "FAIL" { exit 1 } /^$(1)/ { f[n++] = $$1 } $$1 == "ok" { for (i = 0; i < n; i++) print $$2, f[i]; n = 0 }'

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME.
	@set -e; found=$$($(call functions,Fuzz)); echo "$$found" | while read -r package function; do \
		test -n "$$function" || continue; \
		echo "==> $$function of $$package, $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$function\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$package" </dev/null; \
	done

# How often a soak kills the agent; SOAK_SEED repeats an earlier one's choices.
# It runs in its own directory, since only then are its lines seen at once.
SOAK_KILLS ?= 200

.PHONY: soak
soak: ## Kill the agent SOAK_KILLS times among VMMs that come and go.
	@echo '==> soak, $(SOAK_KILLS) kills'
	@cd cmd/sled-agent/crash && SOAK_KILLS=$(SOAK_KILLS) $(GO) test $(RACE) -count=1 -timeout 1h -run '^TestSoak$$'

.PHONY: test-slow
test-slow: ## Run the tests that take minutes: a death at every step of every life, the daemon on the illumos backend.
	@echo '==> the slow tests'
	@E2E_BACKEND=illumos $(GO) test $(RACE) -count=1 -timeout 20m ./cmd/sled-agent/e2e
	@SLOW_TESTS=1 $(GO) test $(RACE) -count=1 -timeout 20m ./cmd/sled-agent/crash ./zone/illumos ./cmd/sledctl/internal/demo

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

# The agent's zones in the demo: process, or illumos, for which a stand-in for its
# commands is built as well.
BACKEND ?= process

.PHONY: demo
demo: build $(if $(filter illumos,$(BACKEND)),standin) ## Build, then watch the agent survive a Propolis that does not stop.
	@bin/sledctl demo --backend '$(BACKEND)'

.PHONY: standin
standin:
	@echo '==> build $(BIN)/illumos-standin'
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o $(BIN)/ ./zone/illumos/illumostest/cmd/illumos-standin

.PHONY: man
man: build ## Put all man pages into bin/man; read them with man -M bin/man sledctl.
	@echo '==> bin/man'
	@mkdir -p bin/man/man1 bin/man/man8
	@cp docs/man/*.1 bin/man/man1/ && cp docs/man/*.8 bin/man/man8/
	@SLED_AGENT_SOCKET= bin/sledctl docs man bin/man/man1

.PHONY: install
install: build pages install-files ## Build and install below DESTDIR, programs below PREFIX.

# sledctl writes its own pages, for which it has to run here.
.PHONY: pages
pages:
	@SLED_AGENT_SOCKET= GOOS= GOARCH= $(GO) run ./cmd/sledctl docs man $(BIN)/pages

# A configuration that is there is left alone. The unit and the method name the
# agent's path, which PREFIX moves.
.PHONY: install-files
install-files: install-service-$(TARGET)
	@echo '==> install below $(DESTDIR)/'
	@mkdir -p '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)/etc/sled-agent'
	@for program in sled-agent sledctl propolis-sim nexus-sim; do \
		$(call put,$(BIN)/$$program,$(PREFIX)/bin/$$program,0755); \
	done
	@test -e '$(DESTDIR)/etc/sled-agent/sled-agent.toml' || \
		{ $(call put,deploy/sled-agent.toml,/etc/sled-agent/sled-agent.toml,0644); }
	@for page in docs/man/*.[1-9] $(BIN)/pages/*.[1-9]; do \
		test -e "$$page" || continue; \
		section=$(PREFIX)/share/man/man$${page##*.}; mkdir -p "$(DESTDIR)$$section"; \
		$(call put,$$page,$$section/$${page##*/},0644); \
	done

# Puts the file $(1) at $(2) below DESTDIR, with mode $(3). A program that runs
# is replaced, not written to.
put = rm -f "$(DESTDIR)$(2)" && cp "$(1)" "$(DESTDIR)$(2)" && chmod $(3) "$(DESTDIR)$(2)" || exit 1

# The same for a text that names the agent's path.
fill = rm -f "$(DESTDIR)$(2)" && \
	sed 's,/usr/bin/sled-agent,$(PREFIX)/bin/sled-agent,' "$(1)" >"$(DESTDIR)$(2)" && chmod $(3) "$(DESTDIR)$(2)" || exit 1

.PHONY: install-service-illumos
install-service-illumos:
	@mkdir -p '$(DESTDIR)/lib/svc/manifest/system' '$(DESTDIR)/lib/svc/method'
	@$(call put,deploy/smf/sled-agent.xml,/lib/svc/manifest/system/sled-agent.xml,0444)
	@$(call fill,deploy/smf/sled-agent.sh,/lib/svc/method/sled-agent,0555)

.PHONY: install-service-linux
install-service-linux:
	@mkdir -p '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	@$(call fill,deploy/systemd/sled-agent.service,$(PREFIX)/lib/systemd/system/sled-agent.service,0644)

# Other systems have no service that is installed.
install-service-%: ;

DIST = sled-agent-$(VERSION)-illumos-amd64

.PHONY: dist-illumos
dist-illumos: ## Cross-build for illumos and pack it: the same commit, the same bytes.
	@rm -rf bin/illumos
	@CGO_ENABLED=0 GOOS=illumos GOARCH=amd64 $(MAKE) --no-print-directory install TARGET=illumos \
		BIN=bin/illumos/bin DESTDIR='$(CURDIR)/bin/illumos/root' PREFIX=/usr
	@GOOS= GOARCH= $(GO) run ./deploy/tarball -o 'bin/$(DIST).tar.gz' -prefix '$(DIST)' \
		-time '$(SOURCE_DATE_EPOCH)' bin/illumos/root
	@echo '==> bin/$(DIST).tar.gz'

.PHONY: clean
clean: ## Remove what make made.
	@echo '==> clean'
	@rm -rf bin
