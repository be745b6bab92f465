# `make help` lists the targets.

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= $(shell command -v go 2>/dev/null || echo /usr/local/go/bin/go)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)

BINARIES := hostrun hostrun-log hostrun-init hostrun-ports hostrun-reap hostrun-probe hostrun-engine hostrun-compose
SHIM     := containerd-shim-runc-v2
# The only program with cgo. Its library is found at run time, so its functions must not be bound when it starts (-z now).
NVML     := hostrun-nvml
NVMLLINK := -extldflags=-Wl,-z,lazy
# NVIDIA's header marks functions that go-nvml wraps all the same.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations
LDFLAGS  := -s -w -X main.version=$(VERSION)
# Without the generator of manual pages: they are made by the tests and lie in docs.
# Without gRPC's pages for a browser, which bring html/template along: each start of hostrun would initialise it.
TAGS     := urfave_cli_no_docs,grpcnotrace
# The shim speaks ttrpc alone: without gRPC's parts it starts in half the time.
SHIMTAGS := no_grpc
# What describes and decides without touching anything: it builds where there is no Linux.
PURE     := ./finding ./lockfile ./pattern ./imagename ./rootfs ./unit ./abi/... ./host/... ./devices/... ./profiles/... ./plan/... ./doctor
# Slowest package of `go test`, with a wide margin: a hang ends in a stack dump instead of silence.
TIMEOUT  ?= 25m

.DEFAULT_GOAL := build
.PHONY: build vm conformance engines nvml runc demo demo-clean test oracle gpu soak storm unit lint setup bench truth lends install uninstall clean help

# The linker writes through a mapping, which leaves the page cache with single pages; a file that was copied starts half a millisecond sooner.
build: nvml ## Build the binaries into bin/, static and without cgo; hostrun-nvml too, where a C compiler is
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)" -o bin/ $(BINARIES:%=./cmd/%)
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(SHIMTAGS) -ldflags "-s -w" -o bin/ ./cmd/$(SHIM)
	@for program in $(BINARIES) $(SHIM); do cp -p bin/$$program bin/.copy && mv bin/.copy bin/$$program; done

# Without it hostrun knows of NVIDIA's GPUs what the kernel's files say: enough to give them to containers, and no more.
nvml:
	@if command -v $$($(GO) env CC) >/dev/null; then \
		CGO_ENABLED=1 $(GO) build -trimpath -ldflags "$(LDFLAGS) $(NVMLLINK)" -o bin/ ./cmd/$(NVML) && bin/$(NVML) -version >/dev/null; \
	else \
		rm -f bin/$(NVML); \
		echo "make: no C compiler: without bin/$(NVML), which asks NVIDIA's library for memory, compute capability and health (docs/nvidia.md)" >&2; \
	fi

runc: ## Build runc from its Go module into bin/oci/, for machines without runc and crun (installs gcc and libseccomp-dev)
	integration/build-runc.sh bin

cni: ## Build CNI's plugins from their Go module into bin/cni/, for networks where no package has them
	integration/build-cni.sh bin

demo: build ## Run DINOv2 in a slim container on the host's own PyTorch (about 3 GB of packages the first time)
	integration/demo/demo.sh

demo-clean: ## Remove what the demonstration keeps for the next time
	rm -rf $(or $(HOSTRUN_CACHE),/var/cache/hostrun-demo)

test: setup lint build oracle ## Everything: packages it needs, gofmt, vet, staticcheck, the builds, all tests with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout $(TIMEOUT) ./...

# Its go.mod follows the main one's by itself, in a copy: a new dependency of hostrun's is no change of the oracle.
ORACLEMOD := -modfile=../../bin/oracle.mod -mod=mod
oracle: ## Compare our description of NVIDIA's GPUs with that of NVIDIA's own generator (a module of its own, with cgo; as root)
	@mkdir -p bin && cp integration/oracle/go.mod bin/oracle.mod && cp integration/oracle/go.sum bin/oracle.sum
	cd integration/oracle && $(GO) vet $(ORACLEMOD) ./... && CGO_ENABLED=1 $(GO) test $(ORACLEMOD) -timeout $(TIMEOUT) ./...

gpu: ## What only a machine with an NVIDIA GPU can show: facts, times, the demonstration, torch (as root; elsewhere status 69)
	integration/gpu/gpu.sh

soak: ## Kill the private engine 1,000 times under load, and lose nothing (as root; ten minutes; make test does it 100 times)
	HOSTRUN_SOAK=1000 CGO_ENABLED=0 $(GO) test -count=1 -timeout $(TIMEOUT) -run TestEngineKilled -v ./integration

storm: ## Take devices 10,000 times from 64 processes that are killed at random: none is held twice, none is lost (as root; half an hour)
	HOSTRUN_STORM=10000 CGO_ENABLED=0 $(GO) test -count=1 -timeout 180m -run TestLeaseStorm -v ./integration

# What a system's containerd may be: Docker's packages bring 2.1 and 2.2, distributions 1.6 and later.
SERIES   ?= 2.0 2.1 2.2 2.3
engines: setup ## The tests that depend on containerd's version with those of SERIES, which make test leaves out (as root; five minutes)
	integration/build-engines.sh $(SERIES)
	HOSTRUN_REQUIRE_ALL=1 HOSTRUN_TEST_ENGINES="$(SERIES)" CGO_ENABLED=0 $(GO) test -count=1 -timeout $(TIMEOUT) \
		-run "TestRuntime|TestShim|TestGivenUp|TestContainerdComesBackEmpty|TestTaskWithoutARecord" ./integration

unit: ## The tests that need neither root nor containerd
	$(GO) test $(PURE)

lint: ## gofmt, vet, staticcheck, and the pure half built for another system
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
		test -z "$$unformatted" || { echo "gofmt -w $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build $(PURE)

setup: ## Install what the tests need, by package name (as root)
	integration/setup.sh

bench: build ## Measure against ctr and docker compose, side by side
	$(GO) run ./integration/bench

conformance: build ## Run 400 services by docker compose v2 and by hostrun, and compare what is to be seen (as root; ten minutes)
	$(GO) run ./integration/conformance

vm: setup build ## Boot systemd with each layout of cgroups in an emulated machine, and start, kill and reload there (as root; some minutes)
	integration/vm/run.sh

truth: setup ## Compare the predictions about native modules with real containers (as root; 32 GB of disk, half an hour the first time)
	-integration/truth/fetch.sh
	$(GO) run ./integration/truth -imports -speed
	HOSTRUN_TRUTH=1 $(GO) test -count=1 -run TestRealWheels ./abi/frameworks
	HOSTRUN_TRUTH_ALL=1 $(GO) test -count=1 -tags truth -timeout 60m -run "TestTruth|TestCases" ./abi/imports

lends: setup build ## Compare what check says of packages of distributions in slim images with what happens (as root; 3 GB of disk)
	-integration/truth/roots.sh debian11-minimal debian12-minimal debian12-python debian13-minimal
	-ROOTS=hosts.txt integration/truth/roots.sh
	$(GO) run ./integration/machine/try

install: build ## Install below PREFIX (/usr/local); DESTDIR for packagers
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/hostrun $(DESTDIR)$(PREFIX)/share/doc/hostrun \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 755 bin/hostrun $(DESTDIR)$(PREFIX)/bin/hostrun
	install -m 755 bin/hostrun-log bin/hostrun-init bin/hostrun-ports bin/hostrun-reap bin/hostrun-probe bin/hostrun-engine bin/hostrun-compose bin/$(SHIM) $(DESTDIR)$(PREFIX)/lib/hostrun/
	test ! -x bin/$(NVML) || install -m 755 bin/$(NVML) $(DESTDIR)$(PREFIX)/lib/hostrun/
	test ! -x bin/cni/ipvlan || install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib/hostrun/cni bin/cni/bridge bin/cni/macvlan bin/cni/ipvlan bin/cni/host-local bin/cni/firewall
	test ! -x bin/oci/runc || install -D -m 755 bin/oci/runc $(DESTDIR)$(PREFIX)/lib/hostrun/oci/runc
	install -m 644 $(wildcard docs/*.md) README.md README.zh-CN.md $(DESTDIR)$(PREFIX)/share/doc/hostrun/
	bin/hostrun completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hostrun
	bin/hostrun completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hostrun
	bin/hostrun completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hostrun.fish
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/systemd/user
	bin/hostrun systemd print --program $(PREFIX)/bin/hostrun >$(DESTDIR)$(PREFIX)/lib/systemd/system/hostrun@.service
	bin/hostrun systemd print --supervisor --program $(PREFIX)/bin/hostrun >$(DESTDIR)$(PREFIX)/lib/systemd/system/hostrun.service
	bin/hostrun systemd print --user --program $(PREFIX)/bin/hostrun >$(DESTDIR)$(PREFIX)/lib/systemd/user/hostrun@.service
	install -m 644 docs/hostrun.1 $(DESTDIR)$(PREFIX)/share/man/man1/hostrun.1

# A containerd that is restarted gives up containers whose shim it does not find (docs/containerd.md).
uninstall: ## Remove what install put there; images, volumes and logs stay
	@! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF -- '-> $(DESTDIR)$(PREFIX)/lib/hostrun/$(SHIM)' || \
		{ echo "make: containers run by programs of this installation; end them first: hostrun down --all" >&2; exit 1; }
	rm -f $(DESTDIR)$(PREFIX)/bin/hostrun $(DESTDIR)$(PREFIX)/share/man/man1/hostrun.1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hostrun \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hostrun \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hostrun.fish \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/hostrun.service $(DESTDIR)$(PREFIX)/lib/systemd/system/hostrun@.service $(DESTDIR)$(PREFIX)/lib/systemd/user/hostrun@.service
	rm -rf $(DESTDIR)$(PREFIX)/lib/hostrun $(DESTDIR)$(PREFIX)/share/doc/hostrun

clean: ## Remove bin/
	rm -rf bin

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
