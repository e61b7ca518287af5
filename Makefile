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
light_goals := help deps deps-e2e clean distclean format
ifneq ($(filter-out $(light_goals),$(or $(MAKECMDGOALS),all)),)
pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
pkg_libs   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
endif

km_cppflags := -Imodules -I. -D_GNU_SOURCE -DKM_VERSION='"$(VERSION)"' -DKM_PREFIX='"$(PREFIX)"' $(pkg_cflags)
km_cflags   := -std=gnu11 -fno-strict-aliasing -pthread $(WARNINGS)
km_ldflags  := -pthread
ifneq ($(SANITIZE),)
km_cflags  += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
km_ldflags += -fsanitize=$(SANITIZE)
endif

LAYERS    := core net kube certmanager aggregator wiring
lib       = $(O)/lib$(1).a
feature   := certmanager aggregator wiring
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
.PHONY: all help deps deps-e2e install check test e2e e2e-long demo format format-check clean distclean unit fuzz-replay fuzz

all: $(O)/kmetricsd ## build the binary, build/kmetricsd

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

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

clean: ## remove what was built
	rm -rf $(B)

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
