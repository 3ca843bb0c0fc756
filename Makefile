# make demo, make test; the rest is for those who change gwcap.

CARGO ?= cargo
DEMO = captures/nginx-connect-refused/capture.pcapng
# Evaluated once, and only where it is used.
LAB_OUT ?= $(eval LAB_OUT := $(shell mktemp -d))$(LAB_OUT)

.PHONY: help demo test cases test-lab lint docs docs-causes golden bench bench-check bench-smoke bench-build \
	fuzz instructions instructions-accept instructions-build libpcap

help:
	@echo "make demo         build, and analyse a recorded capture"
	@echo "make test         all tests that need no root"
	@echo "make cases        each recorded capture beside the verdict on it"
	@echo "make test-lab     record fresh captures from real gateways (root) and judge those"
	@echo "make lint         rustfmt and clippy"
	@echo "make docs         the library's documentation"
	@echo "make docs-causes  write docs/causes.md from the causes"
	@echo "make bench        how fast it is, beside tcpdump, httpry, tshark and others: minutes, and 10 GB of disk"
	@echo "make bench-check  the same, and whether each limit of speed and memory is met"
	@echo "make instructions whether it takes more instructions than it did (valgrind)"
	@echo "make fuzz         each reader of strangers' bytes for a minute (cargo-fuzz and a nightly compiler)"
	@echo "make golden       write tests/golden/ from the reports; read the difference"

libpcap:
	@tools/libpcap

demo: libpcap
	$(CARGO) build --release
	target/release/gwcap $(DEMO)

test: libpcap
	$(CARGO) test

cases: libpcap
	$(CARGO) test --test main captures::table -- --nocapture

test-lab: libpcap
	@test "$$(id -u)" -eq 0 || { echo "make test-lab needs root: it makes network namespaces" >&2; exit 1; }
	CARGO="$(CARGO)" captures/lab/install
	GWCAP_LAB=1 $(CARGO) test --test main -- --nocapture tshark:: decrypted:: recording:: live:: safety::
	@# One after the other: they measure how soon something is told, and take all the processors.
	GWCAP_LAB=1 $(CARGO) test --test main -- --nocapture --test-threads=1 watch:: saturated::
	captures/lab/record --smoke --out "$(LAB_OUT)"
	GWCAP_CASES="$(LAB_OUT)" $(CARGO) test --test main captures::table -- --nocapture
	tools/crowds "$(LAB_OUT)"

lint: libpcap
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --no-default-features -- -D warnings

docs: libpcap
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

docs-causes: libpcap
	GWCAP_DOCS=write $(CARGO) test --test main docs::

golden: libpcap
	GOLDEN=write $(CARGO) test --lib report::

# What tools/bench needs beside cargo comes from tools/bench-install (root).
bench-build: libpcap
	$(CARGO) build --release --bins --examples

bench: bench-build
	tools/bench

bench-check: bench-build
	tools/bench --check

# Whether the benches run, not how fast: with the profile of the tests, so that little is compiled anew.
bench-smoke: libpcap
	$(CARGO) test --bench walk --bench decrypt

# Seconds for each target.
FUZZ_SECONDS ?= 60

fuzz: libpcap
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { echo "make fuzz needs them: rustup toolchain install nightly; cargo install cargo-fuzz" >&2; exit 1; }
	@for target in $$($(CARGO) +nightly fuzz list); do \
		$(CARGO) +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 || exit 1; \
	done

# The generator as the tests built it: with the libraries of tests compiled for release the whole would take twice as long.
instructions-build: libpcap
	$(CARGO) build --release --bin gwcap
	$(CARGO) build --profile test --example traffic

instructions: instructions-build
	tools/instructions

instructions-accept: instructions-build
	tools/instructions --accept
