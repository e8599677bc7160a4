# p2pd: one non-recursive Makefile. `make help` lists the targets; objects go to build/VARIANT.
.DEFAULT_GOAL := all
.SECONDEXPANSION:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

help: ## this list
	@echo 'make TARGET [V=1] [WERROR=1] [PORTABLE=1] [STATIC=1] [SANITIZE=address,undefined|thread] [CC=clang]'
	@awk '/^[a-z][a-z-]*:.*## / {name = says = $$0; sub(/:.*/, "", name); sub(/.*## /, "", says); printf "  %-14s%s\n", name, says}' Makefile

# ---- Where things go, and with what ----
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
OS := $(shell uname -s)
INIT ?= $(if $(filter Darwin,$(OS)),launchd,systemd)
ifeq ($(origin CC),default)
CC := cc
endif
PKG_CONFIG ?= pkg-config
FUZZ_SECONDS ?= 30
CHECK_JOBS ?= 2
CHECK_PATIENCE ?= 1
LISTS ?= build test lint
KILLS ?= 1000
WERROR ?= $(if $(SANITIZE),,$(filter true,$(CI)))
comma := ,
B := build/$(if $(SANITIZE),$(subst $(comma),-,$(SANITIZE)),release)$(if $(PORTABLE),-portable)
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-6s %s\n' $1 $2)

# ---- What has to be installed: tests/tools/deps.sh has the lists. What runs something here installs its own, the rest says what is missing ----
LIBRARIES := libsodium libprotobuf-c inih sqlite3 libisal
GOALS := $(or $(MAKECMDGOALS),all)
NEEDS_check := build test
NEEDS_check-long := build test lint
NEEDS_bench := build test
NEEDS_demo := build
NEEDS_lint := build lint
NEEDS_fuzz := build lint
NEEDS := $(sort $(foreach g,$(GOALS),$(NEEDS_$g)))
NEED_NOTHING := help deps clean uninstall format bench-compare
ifneq ($(filter-out $(NEED_NOTHING),$(GOALS)),)
ifneq ($(shell CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' CPPFLAGS='$(CPPFLAGS)' tests/tools/deps.sh $(or $(NEEDS),--say build) >&2 && echo yes),yes)
$(error what p2pd needs and is not installed is named above; `make deps` installs all)
endif
ifneq ($(OS),Linux)
LOCALBASE ?= $(if $(filter Darwin,$(OS)),$(shell brew --prefix),/usr/local)
LOCAL_CPPFLAGS := -I$(LOCALBASE)/include
LOCAL_LDFLAGS := -L$(LOCALBASE)/lib
endif
# Debian's libev has no .pc file.
EV_CFLAGS := $(shell $(PKG_CONFIG) --cflags libev 2>/dev/null)
CPPFLAGS_ALL := -I. -Ibuild $(LOCAL_CPPFLAGS) $(EV_CFLAGS) $(shell $(PKG_CONFIG) --cflags $(LIBRARIES)) \
	$(if $(PORTABLE)$(filter-out Linux,$(OS)),-DP2PD_PORTABLE) $(CPPFLAGS)
# A p2pctl that has them inside starts a fifth sooner; a packager may want them outside.
CLIENT_LIBS := $(LOCAL_LDFLAGS) $(if $(STATIC),-Wl$(comma)-Bstatic) $(shell $(PKG_CONFIG) --libs libsodium libprotobuf-c) $(if $(STATIC),-Wl$(comma)-Bdynamic)
LIBS := $(LOCAL_LDFLAGS) $(shell $(PKG_CONFIG) --libs $(LIBRARIES)) -lev -lpthread -lm
endif

# Where init finds us: file, mode, place.
INIT_systemd := p2pd.service 644 $(UNITDIR)/p2pd.service
INIT_launchd := org.p2pd.plist 644 /Library/LaunchDaemons/org.p2pd.plist
INIT_openrc := p2pd.openrc 755 $(SYSCONFDIR)/init.d/p2pd
INIT_ROW = $(INIT_$(INIT))
INIT_TO = $(DESTDIR)$(word 3,$(INIT_ROW))
MANUALS := $(wildcard man/*.[1578])

# ---- Flags ----
accepts = $(shell $(CC) -Werror $1 -S -x c /dev/null -o - >/dev/null 2>&1 && echo $1)
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
	$(if $(filter 1 true yes,$(WERROR)),-Werror)
HARDEN := -fPIE -fstack-protector-strong $(foreach f,-fcf-protection -fstack-clash-protection,$(call accepts,$f))
LINK := $(if $(filter-out Darwin,$(OS)),-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
ifeq ($(SANITIZE),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else # A fuzzer's main belongs to the final link alone.
HARDEN += -fsanitize=$(patsubst fuzzer%,fuzzer-no-link%,$(SANITIZE)) -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK += -fsanitize=$(patsubst fuzzer%,fuzzer-no-link%,$(SANITIZE))
endif
CFLAGS ?= -O2 -g
CFLAGS_ALL := -std=gnu11 $(CFLAGS) $(HARDEN)

# ---- Sources ----
UDP_OTHER := $(if $(PORTABLE)$(filter-out Linux,$(OS)),daemon/io/net/udp_linux.c,daemon/io/net/udp_posix.c)
objects = $(patsubst %.c,$(B)/%.o,$1)
PROTO := $(patsubst proto/%.proto,build/proto/%.pb-c.h,$(wildcard proto/*.proto))
CORE := $(call objects,$(wildcard daemon/core/*/*.c daemon/core/*/*/*.c)) $(B)/proto/wire.pb-c.o
SHARED := $(call objects,$(wildcard shared/*.c)) $(B)/proto/control.pb-c.o
DAEMON := $(call objects,$(filter-out $(UDP_OTHER),$(wildcard daemon/*.c daemon/config/*.c daemon/io/*/*.c)))
CLIENT := $(call objects,$(wildcard client/*/*.c))
SIM := $(call objects,$(wildcard tests/sim/*.c))
UNIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*/test_*.c))
BENCHES := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/bench_*.c))
FUZZ := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
HELPERS := $(patsubst %.c,$(B)/%,$(wildcard tests/e2e/*.c))
INITS := $(patsubst daemon/init/%,$(B)/init/%,$(wildcard daemon/init/*))
PROGRAMS := $(B)/p2pd $(B)/p2pctl
C_FILES = $(shell find daemon client shared tests -name '*.[ch]')

all: $(PROGRAMS) $(INITS) ## the programs, in build/release (build/p2pd and build/p2pctl lead there)
	$(if $(SANITIZE)$(PORTABLE),,@for p in p2pd p2pctl; do ln -sf release/$$p build/$$p; done)

$(B)/p2pd: $(DAEMON) $(SHARED) $(B)/libp2pd-core.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/p2pctl: $(CLIENT) $(SHARED)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(CLIENT_LIBS)
$(B)/libp2pd-core.a: $(CORE)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
# Signature checks are remembered, and packets watched where the core opens them: see tests/sim.
WRAPPED := crypto_sign_verify_detached crypto_scalarmult crypto_scalarmult_base onion_build onion_peel node_onion relay_packet links_flush links_send_frame \
	descriptor_sign parcel_seal outbox_deposit links_finish directory_outbid directory_offer
$(B)/sim: $(SIM) $(B)/libp2pd-core.a $(call objects,daemon/io/system/workers.c shared/address.c shared/file_name.c shared/text.c)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(LDFLAGS) $(WRAPPED:%=-Wl$(comma)--wrap=%) -o $@ $^ $(LIBS)

# The first line of a test names the objects it is linked from: /* link: daemon/core/wire/noise shared/address */
linked = $(patsubst %.a.o,%.a,$(patsubst %,$(B)/%.o,$(shell sed -n '1s,^/\* link: *\(.*\) *\*/.*,\1,p' $1)))
$(UNIT): $(B)/%: $(B)/%.o $$(call linked,$$*.c)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)
$(BENCHES) $(HELPERS): $(B)/%: $(B)/%.o $$(call linked,$$*.c)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)
FUZZ_MAIN := $(if $(filter fuzzer%,$(SANITIZE)),-fsanitize=fuzzer,$(B)/tests/fuzz/replay.o)
$(FUZZ): $(B)/%: $(B)/%.o $$(call linked,$$*.c) $(filter %.o,$(FUZZ_MAIN))
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(filter-out %.o,$(FUZZ_MAIN)) $(LIBS)

build/proto/%.pb-c.c build/proto/%.pb-c.h: proto/%.proto
	$(call say,PROTO,$<)
	$(Q)mkdir -p $(@D) && protoc-c --c_out=build $<
$(B)/proto/%.o: build/proto/%.c Makefile # generated: not held to our warnings
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(B)/%.o: %.c Makefile | $(PROTO)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(WARNINGS) -MMD -MP -c -o $@ $<
$(B)/init/%: daemon/init/% FORCE # PREFIX may be another one than last time
	$(Q)mkdir -p $(@D) && sed -e 's,@SBINDIR@,$(SBINDIR),g' -e 's,@BINDIR@,$(BINDIR),g' \
		-e 's,@SYSCONFDIR@,$(SYSCONFDIR),g' -e 's,@PREFIX@,$(PREFIX),g' $< >$@
.PRECIOUS: build/proto/%.pb-c.c build/proto/%.pb-c.h $(B)/%.o
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- Running ----
# What starts daemons meets neither others of its kind nor a p2pd that runs here.
ISOLATE := tests/tools/isolate.sh
ON_OURS := $(ISOLATE) env P2PD_BIN=$(CURDIR)/$(B)
E2E := $(foreach f,$(wildcard tests/e2e/*.bats),'$f|300|$(ON_OURS) bats --tap $f')
# NAME|SECONDS|COMMAND, SECONDS being how long it may say nothing: tests/tools/summary.sh
WITHOUT_DAEMONS := $(if $(SANITIZE),,'pure|300|$(ISOLATE) tests/tools/check-pure.sh $(B)' 'house|300|tests/tools/check-house.sh $(B)' 'manual|300|$(ISOLATE) tests/tools/check-manual.sh $(B)' \
	'bench|300|$(ISOLATE) tests/bench/check.sh' 'tools|300|tests/tools/check-tools.sh')
SUMMARY = $(Q)CHECK_JOBS=$(CHECK_JOBS) CHECK_PATIENCE=$(CHECK_PATIENCE) tests/tools/summary.sh

deps: ## install all that is needed here (apt, dnf, pacman, brew or pkg), or LISTS=build of "build test lint" alone
	@tests/tools/deps.sh $(LISTS)
demo: all ## eight nodes on this machine, explained as they go (needs a compiler and the libraries alone)
	@$(ISOLATE) --say
	@$(ON_OURS) tests/e2e/demo.sh
check: all $(UNIT) $(FUZZ) $(HELPERS) $(if $(SIM),$(B)/sim) ## every test (SANITIZE=...: under sanitizers); ends in a sum; CHECK_JOBS=2 at once, CHECK_PATIENCE=1: 3 on a slow machine
	@$(ISOLATE) --say
	$(SUMMARY) $(B)/check $(if $(SIM),'sim|300|$(B)/sim --check') $(foreach t,$(UNIT),'$(t:$(B)/tests/%=%)|300|$t') \
		$(E2E) $(foreach t,$(FUZZ),'$(t:$(B)/tests/%=%)|300|$t tests/fuzz/corpus/$(t:$(B)/tests/fuzz/fuzz_%=%)') $(WITHOUT_DAEMONS)
check-long: all $(if $(SIM),$(B)/sim) ## the tests that take longer than a coffee: KILLS=1000 SIM_SECONDS=1800
	$(SUMMARY) $(B)/check-long $(if $(SIM),'sim|1200|$(B)/sim --long $(if $(SIM_SECONDS),-t $(SIM_SECONDS))') \
		'tests/e2e/crash.bats|7200|env CYCLES=$(KILLS) SEED=$$(date +%s) $(ON_OURS) bats --tap tests/e2e/crash.bats'
	+$(Q)$(MAKE) fuzz
sim: $(B)/sim ## one simulated network: SEED=N [NODES=N] [SCENARIO=NAME] (chaos of as many nodes as the seed says)
	$(Q)$(B)/sim $(if $(SEED),-s $(SEED)) $(if $(NODES),-n $(NODES)) $(SCENARIO)
bench: all $(BENCHES) $(if $(SIM),$(B)/sim) ## measure, each figure beside its floor: BENCH=relay,latency SCALE="8 64 256 1000" (see tests/bench/run.sh)
	@$(ISOLATE) --say
	$(Q)$(ON_OURS) tests/bench/run.sh
bench-compare: ## OLD=build/old.json: the ratios of build/bench.json to an older one
	$(Q)tests/bench/compare.sh $(OLD) $(or $(NEW),build/bench.json)
fuzz: ## every decoder under libFuzzer, FUZZ_SECONDS=30 each
	+$(Q)$(MAKE) CC=clang SANITIZE=fuzzer,address,undefined fuzz-run
fuzz-run: $(FUZZ)
	$(Q)set -e; for f in $(FUZZ); do name=$${f##*/fuzz_}; echo "== $$name"; mkdir -p $(B)/corpus/$$name; \
		$$f -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/$$name- -print_final_stats=1 $(B)/corpus/$$name \
		$$(ls -d tests/fuzz/corpus/$$name 2>/dev/null) >$(B)/$$name.log 2>&1 || { cat $(B)/$$name.log; exit 1; }; \
		tail -n 6 $(B)/$$name.log; done
lint: all ## what reads the sources instead of running them
	$(SUMMARY) $(B)/lint 'format|300|clang-format --dry-run -Werror $(C_FILES) && ! grep -nE "^.{101,}" $(C_FILES) | grep -v "/[*] link:"' 'includes|300|tests/tools/check-includes.sh' \
		'pure|300|tests/tools/check-pure.sh $(B)' 'house|300|tests/tools/check-house.sh $(B)' 'writers|60|tests/tools/check-writers.sh' 'tidy|1200|tests/tools/tidy.sh $(CPPFLAGS_ALL)' \
		'cppcheck|600|cppcheck -q --std=c11 --enable=warning,portability,performance --inline-suppr --suppress=uninitvar --suppress=legacyUninitvar --include=tests/tools/cppcheck.h --suppress=nullPointer --error-exitcode=1 -I. -Ibuild daemon client shared' \
		'shell|300|shellcheck -x -P tests/bench .ci/run tests/tools/*.sh tests/e2e/*.sh tests/bench/*.sh'
format: ## clang-format in place
	$(Q)clang-format -i $(C_FILES)

install: all ## PREFIX=/usr/local DESTDIR= INIT=systemd|launchd|openrc|none
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(foreach s,1 5 7 8,$(DESTDIR)$(MANDIR)/man$s)
	install -m 755 $(B)/p2pd $(DESTDIR)$(SBINDIR)/p2pd
	install -m 755 $(B)/p2pctl $(DESTDIR)$(BINDIR)/p2pctl
	$(foreach p,$(MANUALS),install -m 644 $p $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $p))/ &&) true
	$(if $(INIT_ROW),install -d $(dir $(INIT_TO)) && install -m $(word 2,$(INIT_ROW)) $(B)/init/$(firstword $(INIT_ROW)) $(INIT_TO))
	$(if $(filter openrc launchd,$(INIT)),@echo 'p2pd runs as a user of its own that is to be made once: see the beginning of $(INIT_TO)')
uninstall: ## take away what install put there
	rm -f $(DESTDIR)$(SBINDIR)/p2pd $(DESTDIR)$(BINDIR)/p2pctl $(if $(INIT_ROW),$(INIT_TO))
	rm -f $(foreach p,$(MANUALS),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $p))/$(notdir $p))
clean: ## away with build/
	rm -rf build
FORCE:
.PHONY: help all deps demo check check-long sim bench bench-compare fuzz fuzz-run lint format install uninstall clean
