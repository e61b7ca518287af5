/* SPDX-License-Identifier: Apache-2.0 */
#include "core/intern.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/map.h"

struct istr {
	uint32_t refs, len;
	char text[];
};

struct km_interner {
	struct km_map strings; /* text -> struct istr, owned */
};

static struct istr *of(const char *s)
{
	return (struct istr *)(uintptr_t)(s - offsetof(struct istr, text));
}

int km_interner_new(struct km_interner **ret)
{
	struct km_interner *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	*ret = in;
	return 0;
}

void km_interner_free(struct km_interner *in)
{
	if (!in)
		return;
	assert(in->strings.count == 0);
	km_map_free(&in->strings);
	free(in);
}

const char *km_intern(struct km_interner *in, const char *s, size_t n)
{
	struct istr *i = km_map_get(&in->strings, s, n);

	if (i) {
		assert(i->refs < UINT32_MAX);
		i->refs++;
		return i->text;
	}
	if (n >= UINT32_MAX - sizeof(*i) - 1)
		return NULL;
	i = malloc(sizeof(*i) + n + 1);
	if (!i)
		return NULL;
	i->refs = 1;
	i->len = (uint32_t)n;
	if (n > 0)
		memcpy(i->text, s, n);
	i->text[n] = '\0';
	if (km_map_put(&in->strings, i->text, n, i, NULL) < 0) {
		free(i);
		return NULL;
	}
	return i->text;
}

const char *km_intern_find(const struct km_interner *in, const char *s, size_t n)
{
	const struct istr *i = km_map_get(&in->strings, s, n);

	return i ? i->text : NULL;
}

const char *km_istr_ref(const char *s)
{
	assert(of(s)->refs > 0 && of(s)->refs < UINT32_MAX);
	of(s)->refs++;
	return s;
}

void km_istr_unref(struct km_interner *in, const char *s)
{
	struct istr *i;

	if (!s)
		return;
	i = of(s);
	assert(i->refs > 0);
	if (--i->refs > 0)
		return;
	km_map_remove(&in->strings, i->text, i->len);
	free(i);
}

size_t km_istr_len(const char *s)
{
	return of(s)->len;
}

size_t km_interner_count(const struct km_interner *in)
{
	return in->strings.count;
}
