# SPDX-License-Identifier: Apache-2.0
# kmetricsd: `make help` lists the targets.

B       ?= build
PREFIX  ?= /opt/kubernetes
DESTDIR ?=
V       ?= 0
# SANITIZE=address,undefined builds into a folder of its own
SANITIZE ?=
ifneq ($(SANITIZE),)
O := $(B)/sanitize
else
O := $(B)
endif
VERSION := 0.1.0

ifeq ($(V),1)
Q :=
else
Q := @
endif

PKG_CONFIG ?= pkg-config
PKGS       := libevent libevent_openssl libevent_pthreads openssl libcurl jansson libsystemd zlib yaml-0.1

# CFLAGS, CPPFLAGS and LDFLAGS belong to whoever builds (distributions pass their hardening there); what the code needs is apart.
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wcast-qual -Wno-unused-parameter
WERROR ?= 0
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

# Goals that need neither the libraries nor a compiler
light_goals := help deps deps-e2e clean format format-check check test e2e e2e-long demo fuzz
ifneq ($(filter-out $(light_goals),$(or $(MAKECMDGOALS),all)),)
pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
pkg_libs   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lm
endif

km_cppflags := -Imodules -I. -D_GNU_SOURCE -DKM_VERSION='"$(VERSION)"' -DKM_PREFIX='"$(PREFIX)"' $(pkg_cflags)
km_cflags   := -std=gnu11 -fno-strict-aliasing -pthread $(WARNINGS)
km_ldflags  := -pthread
ifneq ($(SANITIZE),)
km_cflags  += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
km_ldflags += -fsanitize=$(SANITIZE)
endif

LAYERS    := core net kube certmanager aggregator hpa wiring
lib       = $(O)/lib$(1).a
feature   := certmanager aggregator hpa wiring
libs_core := core
libs_net  := net core
libs_kube := kube net core
$(foreach f,$(feature),$(eval libs_$(f) := $(f) kube net core))
libs_cmd  := $(feature) kube net core

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))
$(foreach l,$(LAYERS),$(eval srcs_$(l) := $(wildcard modules/$(l)/*.c)))
cmd_srcs := $(wildcard cmd/*.c)

unit_srcs := $(wildcard tests/unit/*/test_*.c)
unit_bins := $(patsubst tests/unit/%.c,$(O)/unit/%,$(unit_srcs))
unit_help := $(wildcard tests/unit/support/*.c)
fuzz_srcs := $(wildcard tests/fuzz/fuzz_*.c)
fuzz_bins := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(fuzz_srcs))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help deps deps-e2e install tests vectors check test e2e e2e-long demo demo-real bench bench-scale format format-check clean fuzz fuzz-live

all: $(O)/kmetricsd ## build the binary, build/kmetricsd

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

# Replica counts are compared with upstream's bit for bit: a multiplication and an addition must not become one.
$(O)/obj/modules/hpa/%.o: km_cflags += -ffp-contract=off

$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	@[ '$(Q)' = '' ] || echo '  CC      $<'
	$(Q)$(CC) $(km_cppflags) $(CPPFLAGS) $(km_cflags) $(CFLAGS) -MMD -MP -c -o $@ $<

define layer_rule
$(call lib,$(1)): $(call obj,$(srcs_$(1)))
	@mkdir -p $$(@D)
	@[ '$$(Q)' = '' ] || echo '  AR      $$@'
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rule,$(l))))

$(O)/kmetricsd: $(call obj,$(cmd_srcs)) $(foreach l,$(libs_cmd),$(call lib,$(l)))
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# Tells tests/sim/soak-case what the daemon's heap holds
$(O)/heap.so: tests/sim/preload/heap.c
	@mkdir -p $(@D)
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) -D_GNU_SOURCE $(CPPFLAGS) -std=gnu11 -pthread $(WARNINGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $<

# What a scrape costs at the very least, for tests/bench/run
$(O)/bench-floor: $(call obj,tests/bench/floor.c) $(foreach l,$(libs_net),$(call lib,$(l)))
	@mkdir -p $(@D)
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# One program a unit; a test of a layer is linked with that layer and those below it, and with nothing else.
define unit_rule
$(O)/unit/$(1)/%: $(O)/obj/tests/unit/$(1)/%.o $(call obj,$(unit_help)) $(foreach l,$(libs_$(1)),$(call lib,$(l)))
	@mkdir -p $$(@D)
	@[ '$$(Q)' = '' ] || echo '  LD      $$@'
	$$(Q)$$(CC) $$(km_ldflags) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(pkg_libs) -lcmocka
endef
$(foreach l,$(LAYERS) cmd,$(eval $(call unit_rule,$(l))))

$(O)/fuzz/%: $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/replay.o $(foreach l,$(libs_cmd),$(call lib,$(l)))
	@mkdir -p $(@D)
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

$(O)/live/%: $(O)/obj/tests/fuzz/%.o $(foreach l,$(libs_cmd),$(call lib,$(l)))
	@mkdir -p $(@D)
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) -fsanitize=fuzzer $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# hpa-vectors is one program over a folder of files, a source file a kind of line; the others have a program and a file each.
vector_srcs     := $(filter-out tests/vectors/vectors_hpa.c,$(wildcard tests/vectors/vectors_*.c))
vector_bins     := $(patsubst tests/vectors/%.c,$(O)/vectors/%,$(vector_srcs))
hpa_vector_srcs := tests/vectors/vectors_hpa.c $(wildcard tests/vectors/hpa_*.c)

$(O)/vectors/%: $(O)/obj/tests/vectors/%.o $(foreach l,$(libs_cmd),$(call lib,$(l)))
	@mkdir -p $(@D)
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

$(O)/hpa-vectors: $(call obj,$(hpa_vector_srcs)) $(foreach l,$(libs_hpa),$(call lib,$(l)))
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

vectors: $(O)/hpa-vectors ## replay what Kubernetes' HPA controller answered (recorded)
	$(Q)$(O)/hpa-vectors tests/vectors/data/hpa/*.jsonl

# The simulator: a test's tool; of ours it takes only what is below the modules it feeds.
sim_srcs := $(wildcard tests/sim/*.c) tests/unit/support/pki.c

$(O)/kmsim: $(call obj,$(sim_srcs)) $(foreach l,$(libs_kube),$(call lib,$(l)))
	@[ '$(Q)' = '' ] || echo '  LD      $@'
	$(Q)$(CC) $(km_ldflags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# Everything `make check` runs, built; for seeing that it builds.
tests: $(O)/kmetricsd $(O)/kmsim $(unit_bins) $(fuzz_bins) $(vector_bins) $(O)/hpa-vectors ## build the binary and all tests

install: $(O)/kmetricsd ## install below DESTDIR (PREFIX=/opt/kubernetes)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/cfg' '$(DESTDIR)/usr/bin' '$(DESTDIR)/usr/lib/systemd/system' \
		'$(DESTDIR)/usr/lib/sysusers.d' '$(DESTDIR)/usr/lib/tmpfiles.d' '$(DESTDIR)/usr/share/man/man8' '$(DESTDIR)/usr/share/man/man5' \
		'$(DESTDIR)/usr/lib/systemd/catalog'
	install -m 0755 '$(O)/kmetricsd' '$(DESTDIR)$(PREFIX)/bin/kmetricsd'
	ln -sf '$(PREFIX)/bin/kmetricsd' '$(DESTDIR)/usr/bin/kmetricsd'
	[ -e '$(DESTDIR)$(PREFIX)/cfg/kmetricsd.ini' ] || install -m 0640 packaging/kmetricsd.ini '$(DESTDIR)$(PREFIX)/cfg/kmetricsd.ini'
	for u in units/*.service units/*.socket; do \
		sed 's|/opt/kubernetes|$(PREFIX)|g' "$$u" >'$(DESTDIR)/usr/lib/systemd/system/'"$${u##*/}" || exit 1; \
	done
	install -m 0644 units/sysusers.conf '$(DESTDIR)/usr/lib/sysusers.d/kmetricsd.conf'
	install -m 0644 units/tmpfiles.conf '$(DESTDIR)/usr/lib/tmpfiles.d/kmetricsd.conf'
	install -m 0644 packaging/kmetricsd.8 '$(DESTDIR)/usr/share/man/man8/kmetricsd.8'
	install -m 0644 packaging/kmetricsd.ini.5 '$(DESTDIR)/usr/share/man/man5/kmetricsd.ini.5'
	install -m 0644 packaging/kmetricsd.catalog '$(DESTDIR)/usr/lib/systemd/catalog/kmetricsd.catalog'

check: ## the fast loop: warnings are errors; unit tests, vectors, fuzz corpora, format
	@tests/run-check

test: ## everything: check, check under sanitizers, e2e on a real cluster
	@tests/run-test

e2e: ## the real cluster
	@tests/e2e/run

e2e-long: ## what takes longer than CI has; figures go to docs/
	@tests/e2e/run --long

demo: ## the whole pipeline in a minute, without Kubernetes: live usage, an HPA that scales up and down
	@tests/sim/demo

demo-real: ## the real cluster, the daemon, live top of real pods
	@tests/e2e/demo

bench: ## figures at a thousand nodes, on simulated kubelets and a simulated API server (docs/performance.md)
	@tests/install-deps build
	$(Q)$(MAKE) -s '$(O)/kmetricsd' '$(O)/kmsim' '$(O)/bench-floor'
	$(Q)tests/bench/run '$(O)'

bench-scale: ## cost from 100 to 5,000 nodes, and the loop while lists of 150,000 pods are served (about 12 minutes)
	@tests/install-deps build
	$(Q)$(MAKE) -s '$(O)/kmetricsd' '$(O)/kmsim' '$(O)/bench-floor'
	$(Q)tests/bench/scale '$(O)'

deps: ## install what building and make check need (apt or dnf)
	@tests/install-deps build

deps-e2e: ## install what the real cluster needs (apt)
	@tests/install-deps build e2e

format: ## clang-format on all C files
	clang-format -i $$(git ls-files '*.c' '*.h')

format-check:
	@clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')

fuzz: ## the fuzz targets with libFuzzer (clang): build/live/sanitize/live/fuzz_NAME [OPTIONS] CORPUS...
	@$(MAKE) --no-print-directory B='$(B)/live' CC=clang SANITIZE=address,undefined,fuzzer-no-link fuzz-live

fuzz-live: $(patsubst tests/fuzz/%.c,$(O)/live/%,$(fuzz_srcs))

clean: ## remove what was built
	rm -rf $(B)

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
