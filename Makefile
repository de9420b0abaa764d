# Loam: `make help` lists the targets. GNU make; everything built goes to $(BUILD).
#
#   make                          build/loam and build/libloam.a
#   make BUILD=/tmp/b CC=clang    elsewhere, with another compiler
#   make CFLAGS='-O0 -g3'         the optimisation and debug flags are yours; what keeps
#                                 the bits equal (LANG_FLAGS) and the warnings stay
#   make V=1                      shows the commands
#
# Adding a file to src/FOLDER/, test/unit/, test/prop/, test/fault/, test/fuzz/ or test/e2e/ is enough.
#
# Every file of src/kern/isa/ is compiled once for each instruction set in ISAS, with -DKERN_ISA=name;
# everything sees -DKERN_HAVE_name=1 for the sets that exist, so that one table can name them.

BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
UNITDIR ?= $(PREFIX)/lib/systemd
USERUNITDIR ?= $(PREFIX)/share/systemd/user
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O2 -g
ISA_OPT ?= -O3
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 120
PYTHON ?= python3
PKG_CONFIG ?= pkg-config
SAN ?=
V ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)';)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE

# ---- flags -----------------------------------------------------------------

# No contraction, no reassociation: the order of arithmetic written in C is the order that runs.
LANG_FLAGS := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-strict-aliasing -fPIE -pthread -Isrc -Iinclude -Itest
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wvla -Werror
DEP_FLAGS = -MMD -MP -MF $(@:.o=.d)

ifeq ($(SAN),)
HARDEN := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# Kernels touch no strings and keep no arrays of unknown length: a canary there would cost speed only.
ISA_HARDEN := -fno-stack-protector
LINK_FLAGS := -pie -pthread -Wl,-z,relro,-z,now
else
# gcc loses its way in instrumented code: what it says of uninitialised variables there is often wrong.
HARDEN := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-maybe-uninitialized
ifneq ($(findstring clang,$(CC)),)
HARDEN += -Wno-unknown-warning-option
else
HARDEN += -fno-var-tracking # which takes longer than all else there
endif
# Instrumented tiles of hundreds of unrolled steps would take minutes to compile; loops compute the same.
ISA_HARDEN := -DKERN_NO_UNROLL
LINK_FLAGS := -pie -pthread -fsanitize=$(SAN)
endif

# pkg-config is asked when first needed, so that `make deps` can run before the packages are there.
API_PKGS := jansson libpcre2-8 libutf8proc
LIB_PKGS := $(API_PKGS) libcrypto sqlite3 zlib libzstd libdivsufsort libmicrohttpd libseccomp libcurl
CLI_PKGS := libedit
lazy = $(eval $(1) := $(2))$($(1))
PKG_CFLAGS = $(call lazy,PKG_CFLAGS,$(shell $(PKG_CONFIG) --cflags $(LIB_PKGS) $(CLI_PKGS)))
PKG_LIBS = $(call lazy,PKG_LIBS,$(shell $(PKG_CONFIG) --libs $(LIB_PKGS)))
CLI_LIBS = $(call lazy,CLI_LIBS,$(shell $(PKG_CONFIG) --libs $(CLI_PKGS)))
CMOCKA_LIBS = $(call lazy,CMOCKA_LIBS,$(shell $(PKG_CONFIG) --libs cmocka))
# libm is here for fmaf() alone, which baseline x86-64 has no instruction for; it is exact by IEEE 754.
# `make tidy` refuses every other function of libm.
LIBS = $(PKG_LIBS) -lm

# ---- instruction sets ------------------------------------------------------

ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ifeq ($(ARCH),x86_64)
ISAS := scalar avx2 avxvnni avx512
else ifeq ($(ARCH),aarch64)
ISAS := scalar neon
else
ISAS := scalar
endif
ISA_FLAGS_scalar :=
ISA_FLAGS_avx2 := -mavx2 -mfma -mf16c
# EMULATE_VNNI=1: AVX-VNNI's one instruction by others, to test the rest of that variant on any CPU with AVX2.
EMULATE_VNNI ?=
ISA_FLAGS_avxvnni := -mavx2 -mfma -mf16c $(if $(EMULATE_VNNI),-DV16_EMULATE_VNNI,-mavxvnni)
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c -mavx2
# gcc's first scheduling pass lifts the loads of all groups of a tile above it and spills. clang knows no such flag.
ISA_FLAGS_neon := -march=armv8.2-a+dotprod $(if $(findstring clang,$(CC)),,-fno-schedule-insns)
HAVE_FLAGS := $(ISAS:%=-DKERN_HAVE_%=1) $(if $(EMULATE_VNNI),-DKERN_EMULATE_VNNI=1)

# ---- files -----------------------------------------------------------------

SRC := $(sort $(wildcard src/*/*.c))
CLI_SRC := $(filter src/cli/%,$(SRC))
LIB_SRC := $(filter-out src/cli/%,$(SRC))
ISA_SRC := $(sort $(wildcard src/kern/isa/*.c))
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIB_OBJ := $(call obj,$(LIB_SRC)) $(foreach i,$(ISAS),$(ISA_SRC:src/kern/isa/%.c=$(BUILD)/obj/isa-$(i)/%.o))
CLI_OBJ := $(call obj,$(filter-out src/cli/main.c,$(CLI_SRC)))
MAIN_OBJ := $(call obj,$(filter src/cli/main.c,$(CLI_SRC)))

SUPPORT_OBJ := $(call obj,$(sort $(wildcard test/support/*.c)))
TEST_SRC := $(sort $(wildcard test/unit/test_*.c test/prop/test_*.c test/fault/test_*.c))
FUZZ := $(patsubst test/fuzz/fuzz_%.c,%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
bins = $(patsubst %.c,$(BUILD)/%,$(filter $(1),$(TEST_SRC)))
UNIT_BIN := $(call bins,test/unit/%)
PROP_BIN := $(call bins,test/prop/%)
FAULT_BIN := $(call bins,test/fault/%)
REPLAY_BIN := $(FUZZ:%=$(BUILD)/test/fuzz/replay_%)
FUZZ_BIN := $(FUZZ:%=$(BUILD)/test/fuzz/fuzz_%)
# Scripts that print TAP. Modules they share begin with an underscore; test/golden/*.py without
# `check_` in front regenerate the golden files and are not run.
E2E := $(sort $(filter-out test/e2e/_%,$(wildcard test/e2e/*.py)))
GOLDEN := $(sort $(wildcard test/golden/check_*.py test/golden/*/check_*.py))

ALL_OBJ := $(LIB_OBJ) $(CLI_OBJ) $(MAIN_OBJ) $(SUPPORT_OBJ) $(call obj,$(TEST_SRC)) \
           $(call obj,$(wildcard test/fuzz/*.c)) $(call obj,$(sort $(wildcard bench/*.c)))
-include $(ALL_OBJ:.o=.d)

# ---- the program and the library -------------------------------------------

.PHONY: all
all: $(BUILD)/loam $(BUILD)/libloam.a ## the program build/loam and the library build/libloam.a (the default)

# Rewritten when the compiler or its flags change: then everything is built anew; when the list of files changes, archives are.
# Two makes may be at it at once: each has its own new one.
stamp = >$@.$$$$; if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi
$(BUILD)/flags: FORCE | deps-build
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(shell $(CC) -dumpfullversion -dumpversion) $(CFLAGS) $(ISA_OPT) $(LANG_FLAGS) $(WARN)' \
	    '$(HARDEN) $(LINK_FLAGS) $(HAVE_FLAGS)' $(stamp)
$(BUILD)/files: FORCE | deps-build
	@mkdir -p $(@D)
	@printf '%s\n' $(patsubst $(BUILD)/%,%,$(LIB_OBJ) $(CLI_OBJ) $(SUPPORT_OBJ)) $(stamp)

COMPILE = $(CC) $(LANG_FLAGS) $(CFLAGS) $(WARN) $(HARDEN) $(HAVE_FLAGS) $(PKG_CFLAGS) $(DEP_FLAGS)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -c -o $@ $<

define isa_rule
$(BUILD)/obj/isa-$(1)/%.o: src/kern/isa/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC)$$(COMPILE) $$(ISA_OPT) $$(ISA_HARDEN) -DKERN_ISA=$(1) $$(ISA_FLAGS_$(1)) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

# The files of the page are taken in by the assembler, which the compiler's list of dependencies does not know.
$(BUILD)/obj/src/serve/page.o: $(wildcard src/page/*)

# q, not r: objects of two instruction sets have the same name.
archive = $(call say,AR)mkdir -p $(@D) && rm -f $@ && $(AR) qcsD $@ $(filter %.o,$^)

# Every folder but cli, for the program and the tests.
$(BUILD)/libwhole.a: $(LIB_OBJ) $(BUILD)/files
	$(archive)
$(BUILD)/libcli.a: $(CLI_OBJ) $(BUILD)/files
	$(archive)
$(BUILD)/libsupport.a: $(SUPPORT_OBJ) $(BUILD)/files
	$(archive)

link = $(call say,LINK)$(CC) $(CFLAGS) $(LINK_FLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)

$(BUILD)/loam: $(MAIN_OBJ) $(BUILD)/libcli.a $(BUILD)/libwhole.a
	$(link) $(LIBS) $(CLI_LIBS)

# The library for other programs: what include/loam.h needs of the whole, in one object of which only its names can be seen.
OBJCOPY ?= objcopy
$(BUILD)/libloam.a: $(call obj,src/api/loam.c) $(BUILD)/libwhole.a
	$(call say,AR)rm -f $@ && $(CC) -r -nostdlib -o $(BUILD)/libloam.o $^ && \
	    $(OBJCOPY) --wildcard --keep-global-symbol='loam_*' $(BUILD)/libloam.o && \
	    $(AR) qcsD $@ $(BUILD)/libloam.o && rm $(BUILD)/libloam.o

# ---- tests -----------------------------------------------------------------

TEST_LIBS := $(BUILD)/libsupport.a $(BUILD)/libcli.a $(BUILD)/libwhole.a

$(UNIT_BIN) $(PROP_BIN): $(BUILD)/%: $(BUILD)/obj/%.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(link) $(CMOCKA_LIBS) $(LIBS) $(CLI_LIBS)

# test/fault/fault.h makes the n-th call of one of these fail.
WRAPPED := malloc calloc realloc aligned_alloc mmap open fstat read __read_chk write fsync rename linkat
$(FAULT_BIN): $(BUILD)/%: $(BUILD)/obj/%.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(link) $(WRAPPED:%=-Wl,--wrap=%) $(CMOCKA_LIBS) $(LIBS) $(CLI_LIBS)

$(REPLAY_BIN): $(BUILD)/test/fuzz/replay_%: $(BUILD)/obj/test/fuzz/replay.o $(BUILD)/obj/test/fuzz/fuzz_%.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(link) $(LIBS) $(CLI_LIBS)

$(FUZZ_BIN): $(BUILD)/test/fuzz/fuzz_%: $(BUILD)/obj/test/fuzz/fuzz_%.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(link) -fsanitize=fuzzer $(LIBS) $(CLI_LIBS)

OTHER_CC := $(if $(findstring clang,$(CC)),gcc,clang)
OTHER_BUILD ?= $(BUILD)-$(OTHER_CC)
RUN_TESTS = LOAM_BUILD=$(BUILD) LOAM_BIN=$(BUILD)/loam LOAM_BIN_OTHER=$(OTHER_BUILD)/loam \
            $(PYTHON) script/test.py $(if $(T),--only '$(T)')
C_TESTS = $(UNIT_BIN) $(PROP_BIN) $(FAULT_BIN) $(REPLAY_BIN)

# The table of digests holds for what either compiler makes of the kernels.
OTHER_DIGESTS = $(OTHER_BUILD)/test/prop/test_digests

.PHONY: test test-bins other
test-bins: $(C_TESTS)
other: deps-test
	$(Q)$(MAKE) --no-print-directory BUILD=$(OTHER_BUILD) CC=$(OTHER_CC) all $(OTHER_DIGESTS)

test: deps-test all test-bins bench-bins other ## build with gcc and clang, run every test; T=tok runs those whose name contains tok
	@$(RUN_TESTS) $(C_TESTS) $(OTHER_DIGESTS) $(GOLDEN) $(E2E)

.PHONY: san san-run tsan tsan-run
# By clang: gcc needs many minutes for instrumented kernels.
san: deps-fuzz ## unit, property, fault, corpus and golden tests under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-san CC=clang SAN=address,undefined \
	    CFLAGS='-O1 -g' ISA_OPT=-O1 san-run
san-run: all test-bins
	@$(RUN_TESTS) --san $(C_TESTS) $(GOLDEN)

tsan: deps-fuzz ## unit and property tests under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-tsan CC=clang SAN=thread CFLAGS='-O1 -g' ISA_OPT=-O1 tsan-run
tsan-run: $(UNIT_BIN) $(PROP_BIN)
	@$(RUN_TESTS) --san $(UNIT_BIN) $(PROP_BIN)

# One case of seven: an emulated instruction takes a hundred times as long as one.
EMULATED := $(filter %/test_digests %/test_kern %/test_func,$(PROP_BIN))
.PHONY: avx512-emulated
avx512-emulated: deps-emulate all $(EMULATED) ## AVX-512 and AVX-VNNI kernels, and a training run, on an emulated CPU
	@LOAM_TEST_ISA=avx512,avxvnni LOAM_TEST_SHARE=7 LOAM_FUNC_STEP=65521 LOAM_CROSS="$$(script/emulate.sh) $(BUILD)/loam" \
	    LOAM_CROSS_ISA=avx512 LOAM_CROSS_SMALL=1 $(RUN_TESTS) --timeout 1800 --under "$$(script/emulate.sh)" $(EMULATED) \
	    test/cross/train.py

.PHONY: vnni-emulated vnni-run
vnni-emulated: deps-test ## the kernels for AVX-VNNI on any CPU with AVX2, its one instruction by others
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-vnni EMULATE_VNNI=1 ISAS='scalar avxvnni' vnni-run
vnni-run: $(BUILD)/test/prop/test_kern $(BUILD)/test/prop/test_digests $(BUILD)/test/prop/test_forward
	@LOAM_TEST_ISA=avxvnni,scalar $(RUN_TESTS) $^

# Cross-compiled for arm64, run under qemu-user with NEON and in portable C: the same digests as here.
ARM64 := $(BUILD)-arm64
ARM64_BIN := $(patsubst $(BUILD)/%,$(ARM64)/%,$(filter %/test_digests %/test_kern %/test_func %/test_forward %/test_matrix \
               %/test_tok %/test_tok_golden %/test_sandbox,$(UNIT_BIN) $(PROP_BIN)))
QEMU_ARM64 := qemu-aarch64 -cpu max
ARM64_MODEL := $(wildcard $(or $(LOAM_CACHE),.cache)/models/gemma-3-270m-q4_k_m.gguf)
.PHONY: arm64
arm64: deps-arm64 all ## cross-compile for arm64; kernels, forward pass, tokenizers and the program under qemu
	$(Q)$(MAKE) --no-print-directory LOAM_DEPS=no BUILD=$(ARM64) CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar \
	    PKG_CONFIG='env PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig pkg-config' \
	    $(ARM64)/loam $(ARM64_BIN)
	@LOAM_TEST_ISA=neon,scalar LOAM_FUNC_STEP=8191 LOAM_CROSS='$(QEMU_ARM64) $(ARM64)/loam' LOAM_CROSS_ISA=neon,scalar \
	    LOAM_CROSS_MODEL='$(ARM64_MODEL)' $(RUN_TESTS) --under '$(QEMU_ARM64)' $(ARM64_BIN) \
	    test/cross/logits.py test/cross/train.py

.PHONY: lm-eval
lm-eval: deps-test all ## lm-evaluation-harness through the server against transformers (not in .ci/run: a Python environment of 6.2 GB)
	@LOAM_BIN=$(BUILD)/loam $(PYTHON) test/lm-eval/compare.py

.PHONY: tools
tools: deps-test all ## a real instruction model calls tools through OpenAI's client (491 MB are fetched; not in .ci/run)
	@LOAM_BIN=$(BUILD)/loam $(PYTHON) test/tools/call.py

.PHONY: fuzz fuzz-run
fuzz: deps-fuzz ## libFuzzer on each test/fuzz/fuzz_*.c for FUZZ_SECONDS=60; T=name for one of them
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=clang SAN=address,undefined,fuzzer-no-link \
	    CFLAGS='-O1 -g' ISA_OPT=-O1 fuzz-run
fuzz-run: $(FUZZ_BIN)
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) script/fuzz.sh $(if $(T),$(foreach f,$(FUZZ),$(if $(findstring $(T),$(f)),$(f))),$(FUZZ))

# The server alone, then instrumented: there no sandbox, for the search for leaks needs what it forbids.
SOAK = LOAM_BIN=$(BUILD)/loam LOAM_SOAK_SECONDS=$(SOAK_SECONDS) $(PYTHON) test/e2e/test_serve_soak.py
.PHONY: soak soak-san
soak: deps-fuzz all ## 16 clients of the server at once for SOAK_SECONDS=120, of the program and of one under ASan
	@$(SOAK)
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-san CC=clang SAN=address,undefined \
	    CFLAGS='-O1 -g' ISA_OPT=-O1 soak-san
soak-san: all
	@LOAM_SOAK_LEAKS=1 $(SOAK)

.PHONY: tidy format
tidy: deps-tidy ## layering, format, banned calls and flags, file sizes, static analysis
	@$(PYTHON) script/tidy.py

format: deps-tidy ## clang-format over src, test and bench
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

# ---- the rest --------------------------------------------------------------

.PHONY: demo demo-gemma model peer bench bench-bins bench-train tune-gemma bench-serve bench-tokenizer bench-data install install-built deb deb-built deps deps-build deps-test deps-tidy deps-fuzz deps-demo deps-emulate deps-arm64 clean help
demo: all ## the life of a small model: corpus, training, verification, questions; no network needed
	@$(BUILD)/loam demo

demo-gemma: deps-demo all model ## fetch a real model and let it answer
	@LOAM_BIN=$(BUILD)/loam script/demo-gemma.sh

model: deps-demo ## fetch Gemma 3 270M (253 MB) into .cache/models
	@$(PYTHON) script/fetch-model.py

peer: ## fetch llama.cpp and build the program that tests and benchmarks compare with
	@script/peer.sh

BENCH_BIN := $(patsubst %,$(BUILD)/bench/%,encode make_model limits kernels peer step streams guess)
$(BENCH_BIN): $(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(call obj,bench/common.c bench/machine.c) $(BUILD)/libcli.a $(BUILD)/libwhole.a
	@mkdir -p $(@D)
	$(link) $(LIBS) $(CLI_LIBS)

bench-bins: $(BENCH_BIN) # also for make test: what measures must not fall behind
bench: all bench-bins ## speed, memory and ratios to peers; BENCH=--quick for the short form
	@LOAM_BUILD=$(BUILD) $(PYTHON) bench/run.py $(BENCH)

bench-train: all bench-bins ## a training step against llm.c and PyTorch; BENCH=--growth: against width and context
	@LOAM_BUILD=$(BUILD) $(PYTHON) bench/train.py $(BENCH)

tune-gemma: all model ## Gemma 3 270M learns homeworld's facts from conversations: accuracy, minutes, memory
	@LOAM_BUILD=$(BUILD) $(PYTHON) bench/tune_gemma.py $(BENCH)

bench-serve: all bench-bins ## streams of the server together against llama.cpp; BENCH='--streams 4'
	@LOAM_BUILD=$(BUILD) $(PYTHON) bench/serve.py $(BENCH)

bench-tokenizer: all bench-bins ## learning a tokenizer and encoding against the tokenizers library
	@LOAM_BUILD=$(BUILD) $(PYTHON) bench/tokenizer.py $(BENCH)

bench-data: all ## how fast texts become a data set, by the length of documents; BENCH='--mb 100'
	@LOAM_BUILD=$(BUILD) $(PYTHON) bench/data.py $(BENCH)

# For share/loam/**/*.in: where things are, the version of include/loam.h, the libraries that libloam.a needs.
VERSION = $(shell sed -n 's/^#define LOAM_VERSION "\(.*\)"/\1/p' include/loam.h)
PC_WORDS = -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@REQUIRES@|$(API_PKGS)|'
TO = $(DESTDIR)$(PREFIX)

SHARE = $(TO)/share
FILL = sed -e 's|@BINDIR@|$(PREFIX)/bin|' $(PC_WORDS)

install: all ## program, library, manual pages, completion, units, to DESTDIR and PREFIX=/usr/local
	$(Q)$(MAKE) --no-print-directory install-built

# What is built already, whatever flags the environment has now: for packages.
install-built:
	install -Dm755 $(BUILD)/loam $(TO)/bin/loam
	set -e; for f in $$(find models/homeworld -type f ! -name verified.json); do install -Dm644 $$f $(SHARE)/loam/$$f; done
	install -Dm644 share/loam/catalogue.tsv $(SHARE)/loam/catalogue.tsv
	install -d $(SHARE)/man/man1 $(SHARE)/doc/loam/examples $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(UNITDIR)/system $(DESTDIR)$(USERUNITDIR)
	$(BUILD)/loam help --man $(SHARE)/man/man1
	install -Dm644 share/loam/completion/loam.bash $(SHARE)/bash-completion/completions/loam
	install -Dm644 share/loam/completion/_loam $(DESTDIR)$(ZSHDIR)/_loam
	install -Dm644 share/loam/completion/loam.fish $(SHARE)/fish/vendor_completions.d/loam.fish
	$(FILL) share/loam/systemd/loam.service.in >$(DESTDIR)$(UNITDIR)/system/loam.service
	$(FILL) share/loam/systemd/loam.user.service.in >$(DESTDIR)$(USERUNITDIR)/loam.service
	install -m644 README.md doc/*.md doc/*.webp $(SHARE)/doc/loam
	install -m644 example/embed.c $(SHARE)/doc/loam/examples
	install -Dm644 include/loam.h $(TO)/include/loam.h
	install -Dm644 $(BUILD)/libloam.a $(DESTDIR)$(LIBDIR)/libloam.a
	$(FILL) share/loam/loam.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/loam.pc

DEB = $(abspath $(BUILD))/deb
XZ = 6
deb: all ## Debian packages of the program and the library, in build/deb
	$(Q)$(MAKE) --no-print-directory deb-built
deb-built: | deps-test
	rm -rf $(DEB) && mkdir -p $(DEB)/loam && cp -a debian $(DEB)/loam
	cd $(DEB)/loam && DEB_BUILD_OPTIONS=noautodbgsym $(MAKE) --no-print-directory -f debian/rules binary \
	    SOURCE=$(CURDIR) BUILD=$(abspath $(BUILD)) XZ=$(XZ)
	rm -rf $(DEB)/loam

deps: ## install the Debian packages for everything (as root), or print the apt line
	@script/deps.sh build test tidy fuzz demo emulate
deps-build deps-test deps-tidy deps-fuzz deps-demo deps-emulate deps-arm64: deps-%:
	@script/deps.sh $*

clean: ## remove what was built; .cache stays
	rm -rf $(BUILD) $(BUILD)-clang $(BUILD)-gcc $(BUILD)-san $(BUILD)-tsan $(BUILD)-fuzz $(BUILD)-vnni $(BUILD)-arm64

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile
