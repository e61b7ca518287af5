/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string interner: one reference-counted copy of each distinct string, so that records hold pointers, equal strings
 * are equal pointers, and a label value shared by 30,000 pods is stored once. One interner belongs to one thread.
 */
#pragma once

#include "core/base.h"

struct km_interner;

int km_interner_new(struct km_interner **ret) _must_check_; /* 0 or -ENOMEM */
void km_interner_free(struct km_interner *in);              /* all strings must have been released; NULL is fine */

/* The interned copy of the n bytes at s (no NUL inside), NUL-terminated, with one reference for the caller; NULL
 * without memory. */
const char *km_intern(struct km_interner *in, const char *s, size_t n) _must_check_;
/* The interned string if there is one, without taking a reference; NULL if not. For look-ups: an unknown name is in no
 * record. */
const char *km_intern_find(const struct km_interner *in, const char *s, size_t n);
/* One more reference; returns s. s must be interned. */
const char *km_istr_ref(const char *s);
/* Gives one reference back; NULL is fine. */
void km_istr_unref(struct km_interner *in, const char *s);
/* Length of an interned string in O(1). */
size_t km_istr_len(const char *s);

size_t km_interner_count(const struct km_interner *in); /* distinct strings held */
