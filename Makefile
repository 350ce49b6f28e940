# Needs only Go and make; works with GNU make 3.81 and later.

GO       ?= go
FUZZTIME ?= 60s
BENCH    ?= .

# The limit for the tests of one package. They take minutes, and many times as long on a
# loaded machine.
TIMEOUT ?= 1h

# What "make test" tests.
PACKAGES ?= ./...

# How long to repeat each benchmark, or how often ("100x").
BENCHTIME ?= 1s

# A release's tag, or the distance from one. Only this directory's own repository is used, not
# one that contains it.
VERSION ?= $(shell { test -e .git && git describe --tags --always --dirty 2>/dev/null; } || echo unknown)

# Where "make install" installs: DESTDIR precedes every path. TARGET is the system to install
# for, BIN the directory of its programs.
PREFIX  ?= /usr
DESTDIR ?=
TARGET  ?= $(shell $(GO) env GOOS)
BIN     ?= bin

# The time of every file in a packed release: that of the commit.
SOURCE_DATE_EPOCH ?= $(shell { test -e .git && git log -1 --format=%ct 2>/dev/null; } || echo 0)

# What must build everywhere is built for these, without cgo.
PLATFORMS = illumos/amd64 linux/arm64 darwin/arm64

# The race detector needs a platform that has it and, on most, cgo with a C
# compiler. Set RACE= to go without.
RACE ?= $(shell $(GO) list -race unsafe >/dev/null 2>&1 && \
	{ test "$$($(GO) env GOOS)" = darwin || command -v $$($(GO) env CC) >/dev/null 2>&1; } && echo -race)

# By default each test program sleeps for a second before it exits, for late reports of the
# race detector.
export GORACE ?= atexit_sleep_ms=50

.PHONY: help
help: ## List the targets (the default).
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: FUZZTIME=$(FUZZTIME) for each fuzz target, BENCH=$(BENCH) for a pattern, RACE= for no race detector,'
	@echo 'BACKEND=illumos for a demo with zones of illumos.'

.PHONY: build
build: ## Build the programs into bin/.
	@echo '==> build $(BIN)/ ($(VERSION))'
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

.PHONY: test
test: ## Run all tests, with the race detector where there is one.
	@$(if $(RACE),:,echo '==> no race detector here: it needs cgo and a C compiler')
	@echo '==> $(GO) test $(RACE) -shuffle=on $(PACKAGES)'
	@$(GO) test $(RACE) -shuffle=on -timeout $(TIMEOUT) $(PACKAGES)

# How many bodies of each kind a conformance test makes for each operation and version.
CONFORMANCE ?= 10

.PHONY: conformance
conformance: ## Make every request of the sled API's document, in every version, with valid and damaged bodies.
	@$(if $(SLEDAGENT_CONTRACT),:,echo '==> SLEDAGENT_CONTRACT is not set: the documents are not compared with the real ones')
	@CONFORMANCE=$(CONFORMANCE) $(GO) test -count=1 -v -run 'Conformance|Contract|Document' ./agent/api ./agent/wire ./agent/admin \
		./propolis/server ./agent/publish/nexussim

# The daemon runs without the race detector here: "make test" has it, with the other backend.
.PHONY: test-illumos
test-illumos: ## Run the tests of the illumos backend, and of the daemon on it, on a stand-in for such a host.
	@echo '==> zones of a stand-in for illumos'
	@SLOW_TESTS=1 $(GO) test $(RACE) -count=1 ./zone/illumos
	@E2E_BACKEND=illumos $(GO) test -count=1 -timeout $(TIMEOUT) ./cmd/sled-agent/e2e

.PHONY: check
check: check-format check-vet check-lint check-habits check-modules check-platforms check-kstat check-alerts ## Run all checks except tests.

.PHONY: check-format
check-format:
	@echo '==> gofmt'
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && \
	if [ -n "$$files" ]; then echo 'gofmt would change:'; echo "$$files"; exit 1; fi

.PHONY: check-vet
check-vet:
	@echo '==> go vet'
	@$(GO) vet ./...

# tools/ is a separate module, so that the linters are not dependencies of the code. lint is
# built for this machine regardless of GOOS, and rebuilt when the rules change.
LINT = bin/lint

.PHONY: check-lint
check-lint:
	@echo '==> staticcheck'
	@$(GO) tool staticcheck ./...
	@echo '==> the linters of .golangci.yml'
	@cd tools && export GOOS= GOARCH= && $(GO) test ./lint && $(GO) build -o '$(CURDIR)/$(LINT)' -ldflags \
		"-X 'main.root=$(CURDIR)' -X main.rules=$$(cksum <../.golangci.yml | tr ' ' -)" ./lint
	@$(GO) vet -vettool='$(CURDIR)/$(LINT)' ./...

# The same rules by golangci-lint, with its exceptions and editor support. Not part of check:
# building it takes longer than all the rest.
.PHONY: check-golangci
check-golangci:
	@echo '==> golangci-lint'
	@cd tools && $(GO) mod tidy -diff
	@$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

# Not part of check: it asks vuln.go.dev.
.PHONY: check-vulns
check-vulns: ## Look for known vulnerabilities in what the code calls, at vuln.go.dev.
	@echo '==> govulncheck'
	@$(GO) tool -modfile=tools/go.mod govulncheck ./...

.PHONY: check-habits
check-habits:
	@echo '==> rules that no linter can hold'
	@$(GO) test ./internal/archtest

.PHONY: check-modules
check-modules:
	@echo '==> go mod tidy'
	@$(GO) mod tidy -diff

# vet also type-checks the tests. The illumos tests are linked as well, since no other machine
# does it.
.PHONY: check-platforms
check-platforms:
	@set -e; for platform in $(PLATFORMS); do \
		echo "==> build for $$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -buildvcs=false -o /dev/null ./...; \
	done
	@echo '==> go vet and link the tests for illumos/amd64'
	@CGO_ENABLED=0 GOOS=illumos GOARCH=amd64 $(GO) vet ./...
	@CGO_ENABLED=0 GOOS=illumos GOARCH=amd64 $(GO) test -c -o /dev/null ./... >/dev/null

# promtool is part of Prometheus; "go test ./cmd/sled-agent" checks names and pages without it.
.PHONY: check-alerts
check-alerts:
	@echo '==> alert rules'
	@if command -v promtool >/dev/null; then \
		cd deploy/prometheus && promtool check rules sled-agent.rules.yml && promtool test rules sled-agent.rules.test.yml; \
	else \
		echo 'SKIP check-alerts: there is no promtool (apt-get install prometheus); the alert rules are NOT tested'; \
	fi

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

# How often a soak kills the agent; SOAK_SEED repeats the choices of an earlier one. It runs in
# its own directory, because only then go prints its lines at once.
SOAK_KILLS ?= 200

.PHONY: soak
soak: ## Kill the agent SOAK_KILLS times among VMMs that come and go.
	@echo '==> soak, $(SOAK_KILLS) kills'
	@cd cmd/sled-agent/e2e && SOAK_KILLS=$(SOAK_KILLS) $(GO) test $(RACE) -count=1 -timeout 1h -run '^TestSoak$$'

# The simulated hours of chaos; CHAOS_SEED repeats the choices of an earlier one.
CHAOS_HOURS ?= 200

.PHONY: chaos
chaos: ## Run VMMs for CHAOS_HOURS of simulated time while everything around them fails.
	@echo '==> chaos, $(CHAOS_HOURS) hours'
	@CHAOS_HOURS=$(CHAOS_HOURS) $(GO) test -count=1 -v -timeout 4h -run '^TestChaos$$' ./agent

.PHONY: test-slow
test-slow: ## Run the tests that take minutes: a crash at every step, the systemd unit, packages, a power cut.
	@echo '==> the unit under a real systemd'
	@deploy/test/systemd.sh
	@echo '==> the packages: installed, upgraded, removed and purged under a real systemd'
	@deploy/test/packages.sh
	@echo '==> the tour'
	@deploy/test/tour.sh /dev/null
	@echo '==> a power cut and a reboot, in a virtual machine'
	@deploy/test/powercut.sh
	@SLOW_TESTS=1 $(GO) test $(RACE) -count=1 -timeout $(TIMEOUT) ./cmd/sled-agent/e2e ./cmd/sled-demo

.PHONY: bench
bench: ## Run the benchmarks that match BENCH, each beside its floor.
	@set -e; \
	for package in $$(find . -name '*_test.go' -exec grep -l '^func Benchmark' {} + | xargs -n 1 dirname | sort -u); do \
		echo "==> $$package"; memory=-benchmem; test $$package != ./cmd/sled-agent/bench || memory=; \
		$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) $$memory $$package | \
		awk '/^(goos|goarch|pkg|cpu|PASS|ok)/ { next } /^(--- )?FAIL/ { bad = 1 } { print } END { exit bad }'; \
	done

.PHONY: profile
profile: ## Leave CPU, mutex and allocation profiles of the agent's benchmarks that match BENCH in bin/profiles/.
	@mkdir -p bin/profiles
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -o bin/profiles/bench.test -outputdir bin/profiles \
		-cpuprofile cpu.out -mutexprofile mutex.out -memprofile mem.out -memprofilerate 65536 ./cmd/sled-agent/bench
	@for kind in cpu mutex mem; do \
		echo "==> bin/profiles/$$kind.out"; $(GO) tool pprof -top -nodecount 15 bin/profiles/bench.test bin/profiles/$$kind.out; done

# The tests' guest: Debian's kernel for virtual machines, unpacked from its package and not
# installed, and one program of ours. It is made on Debian for x86_64, and kept.
GUEST        = bin/guest
GUEST_KERNEL ?= linux-image-cloud-amd64

.PHONY: guest
guest: $(GUEST)/kernel ## Make a small Linux guest in bin/guest/, for propolis-qemu and its tests.
	@echo '==> $(GUEST)/initrd'
	@CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o $(GUEST)/init ./propolis/qemu/guest
	@$(GO) run ./propolis/qemu/guest/initrd $(GUEST)/init $(GUEST)/root/lib/modules/* >$(GUEST)/initrd.new
	@mv $(GUEST)/initrd.new $(GUEST)/initrd

# The package that is asked for only depends on the one of the newest version.
$(GUEST)/kernel:
	@echo '==> $(GUEST)/kernel, from $(GUEST_KERNEL)'
	@command -v apt-get >/dev/null || { echo 'it is made from a package of Debian, and there is no apt-get'; exit 1; }
	@mkdir -p $(GUEST)
	@package=$$(apt-cache depends $(GUEST_KERNEL) | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1) && \
		test -n "$$package" && cd $(GUEST) && rm -rf root *.deb && apt-get download -q "$$package" && dpkg-deb -x *.deb root
	@rm -f $(GUEST)/*.deb && cp $(GUEST)/root/boot/vmlinuz-* $@

.PHONY: test-guests
test-guests: guest ## Make the guest and run the tests with real guests in QEMU, which take four minutes.
	@echo '==> real guests'
	@E2E_GUEST='$(CURDIR)/$(GUEST)' $(GO) test -count=1 -timeout $(TIMEOUT) -p 1 -parallel 4 -run 'RealGuest' \
		./propolis/qemu ./cmd/sled-agent/e2e ./cmd/sled-demo

# The backend of the agent's zones in the demo: process; illumos, for which a stand-in for the
# host's commands is built as well; or qemu, with real guests in zones of processes.
BACKEND ?= process

.PHONY: demo
demo: build $(if $(filter illumos,$(BACKEND)),standin) $(if $(filter qemu,$(BACKEND)),guest) ## Build, then demonstrate stops of VMMs that do not stop properly.
	@bin/sled-demo -backend '$(BACKEND)'

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

# sledctl writes its own pages and completions, so it must run on this machine.
.PHONY: pages
pages:
	@SLED_AGENT_SOCKET= GOOS= GOARCH= $(GO) run ./cmd/sledctl docs man $(BIN)/pages
	@mkdir -p $(BIN)/completions && for shell in bash zsh fish; do \
		SLED_AGENT_SOCKET= GOOS= GOARCH= $(GO) run ./cmd/sledctl completion $$shell >$(BIN)/completions/$$shell || exit 1; \
	done

# An existing configuration is kept. The unit and the method contain the agent's path, which
# PREFIX moves.
.PHONY: install-files
install-files: install-service-$(TARGET)
	@echo '==> install below $(DESTDIR)/'
	@mkdir -p '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)/etc/sled-agent'
	@for program in sled-agent sledctl propolis-sim nexus-sim $(if $(filter linux,$(TARGET)),propolis-qemu sled-zone-init); do \
		$(call put,$(BIN)/$$program,$(PREFIX)/bin/$$program,0755); \
	done
	@test -e '$(DESTDIR)/etc/sled-agent/sled-agent.toml' || \
		{ $(call put,deploy/sled-agent.toml,/etc/sled-agent/sled-agent.toml,0644); }
	@for page in docs/man/*.[1-9] $(BIN)/pages/*.[1-9]; do \
		test -e "$$page" || continue; \
		section=$(PREFIX)/share/man/man$${page##*.}; mkdir -p "$(DESTDIR)$$section"; \
		$(call put,$$page,$$section/$${page##*/},0644); \
	done
	@set -e; for to in bash:bash-completion/completions/sledctl zsh:zsh/site-functions/_sledctl \
		fish:fish/vendor_completions.d/sledctl.fish; do \
		from=$(BIN)/completions/$${to%%:*} to=$(PREFIX)/share/$${to#*:}; \
		test ! -e "$$from" || { mkdir -p "$(DESTDIR)$${to%/*}"; $(call put,$$from,$$to,0644); }; \
	done

# Installs the file $(1) at $(2) below DESTDIR, with mode $(3). A running program is replaced,
# not overwritten.
put = rm -f "$(DESTDIR)$(2)" && cp "$(1)" "$(DESTDIR)$(2)" && chmod $(3) "$(DESTDIR)$(2)" || exit 1

# The same for a text that contains the programs' paths.
fill = rm -f "$(DESTDIR)$(2)" && \
	sed 's,/usr/bin/sled,$(PREFIX)/bin/sled,' "$(1)" >"$(DESTDIR)$(2)" && chmod $(3) "$(DESTDIR)$(2)" || exit 1

.PHONY: install-service-illumos
install-service-illumos:
	@mkdir -p '$(DESTDIR)/lib/svc/manifest/system' '$(DESTDIR)/lib/svc/method'
	@$(call put,deploy/smf/sled-agent.xml,/lib/svc/manifest/system/sled-agent.xml,0444)
	@$(call fill,deploy/smf/sled-agent.sh,/lib/svc/method/sled-agent,0555)

.PHONY: install-service-linux
install-service-linux:
	@mkdir -p '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	@for unit in sled-agent sled-agent-vmms; do \
		$(call fill,deploy/systemd/$$unit.service,$(PREFIX)/lib/systemd/system/$$unit.service,0644); done

# Other systems have no service to install.
install-service-%: ;

DIST = sled-agent-$(VERSION)-illumos-amd64

.PHONY: dist-illumos
dist-illumos: ## Cross-build for illumos and pack it: the same commit, the same bytes.
	@rm -rf bin/illumos
	@CGO_ENABLED=0 GOOS=illumos GOARCH=amd64 $(MAKE) --no-print-directory install TARGET=illumos \
		BIN=bin/illumos/bin DESTDIR='$(CURDIR)/bin/illumos/root' PREFIX=/usr
	@GOOS= GOARCH= $(GO) run ./deploy/tarball -o 'bin/$(DIST).tar.gz' -prefix '$(DIST)' \
		-example etc/sled-agent/sled-agent.toml -time '$(SOURCE_DATE_EPOCH)' bin/illumos/root
	@echo '==> bin/$(DIST).tar.gz'

# Programs of packages are linked statically, to run on every distribution. ARCH is their
# processor's architecture, in the words of Go.
ARCH ?= $(shell $(GO) env GOARCH)
PACKAGE_VERSION ?= $(shell deploy/packages/version.sh '$(VERSION)' "$$(test -e .git && git rev-list --count HEAD 2>/dev/null)")
NFPM = GOOS= GOARCH= $(GO) tool -modfile=tools/go.mod nfpm

.PHONY: packages
packages: ## Build .deb and .rpm packages into bin/packages/: the same commit, the same bytes.
	@echo '==> bin/packages/ ($(PACKAGE_VERSION), $(ARCH))'
	@rm -rf bin/linux bin/packages && mkdir -p bin/packages
	@CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(MAKE) --no-print-directory install TARGET=linux \
		BIN=bin/linux/bin DESTDIR='$(CURDIR)/bin/linux/root' PREFIX=/usr
	@gzip -9n bin/linux/root/usr/share/man/man*/*
	@set -e; export PACKAGE_ARCH=$(ARCH) PACKAGE_VERSION='$(PACKAGE_VERSION)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)'; \
	for package in sled-agent sled-agent-propolis; do for kind in deb rpm; do \
		$(NFPM) package -f deploy/packages/$$package.yaml -p $$kind -t bin/packages/ >/dev/null; \
	done; done
	@cd bin/linux/bin && $(GO) version -m sled-agent sled-zone-init sledctl propolis-qemu propolis-sim nexus-sim \
		>'$(CURDIR)/bin/packages/sled-agent-$(PACKAGE_VERSION)-$(ARCH).modules.txt'
	@cd bin/packages && sha256sum * >SHA256SUMS

# What builds container images: podman, or docker if its daemon runs.
ENGINE ?= $(shell for engine in podman docker; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)

.PHONY: images
images: ## Build container images of the simulators, where there is podman or docker.
	@$(if $(ENGINE),,echo 'there is neither podman nor a running docker' >&2; exit 1)
	@set -e; for image in propolis-sim nexus-sim; do echo "==> image $$image:$(VERSION)"; \
		$(ENGINE) build -f deploy/container/Containerfile --target $$image -t "$$image:$(VERSION)" \
			--build-arg 'VERSION=$(VERSION)' .; done

.PHONY: tour
tour: ## Run the tour on a host with systemd and write its transcript, docs/tour.md.
	@deploy/test/tour.sh

.PHONY: clean
clean: ## Remove all build results.
	@echo '==> clean'
	@rm -rf bin
