/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregator/prom.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "aggregator/store.h"
#include "core/clock.h"

__extension__ typedef unsigned __int128 u128;

#define SERIES(text) (text), sizeof(text) - 1

static const struct family {
	const char *name;
	size_t len;
	enum agg_series series;
	int scale; /* power of ten from the text's unit to ours */
	bool container;
} families[] = {
	{SERIES("container_cpu_usage_seconds_total"), AGG_CONTAINER_CPU, 9, true},
	{SERIES("container_memory_working_set_bytes"), AGG_CONTAINER_MEMORY, 0, true},
	{SERIES("container_start_time_seconds"), AGG_CONTAINER_START, 9, true},
	{SERIES("node_cpu_usage_seconds_total"), AGG_NODE_CPU, 9, false},
	{SERIES("node_memory_working_set_bytes"), AGG_NODE_MEMORY, 0, false},
	{SERIES("resource_scrape_error"), AGG_SCRAPE_ERROR, 0, false},
	{SERIES("scrape_error"), AGG_SCRAPE_ERROR, 0, false},
};

#define TIMESTAMP_MIN_NS \
	(INT64_C(946684800) * KM_NSEC_PER_SEC) /* 2000-01-01: anything earlier is a clock that was never set */
#define TIMESTAMP_FUTURE_NS (3600 * KM_NSEC_PER_SEC)

/* A line being read; unescaped label values need room of their own. */
struct line {
	const char *p, *end;
	char scratch[3][AGG_NAME_MAX];
};

static const struct family *family_of(const char *name, size_t len)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(families); i++)
		if (families[i].len == len && memcmp(families[i].name, name, len) == 0)
			return &families[i];
	return NULL;
}

/*
 * A non-negative decimal, maybe with an exponent, times 10^scale, rounded to nearest: exact where a double would lose
 * nanoseconds after 104 CPU-days.
 */
static bool scaled_number(const char *p, const char *end, int scale, uint64_t *ret)
{
	u128 mantissa = 0;
	bool digits = false, point = false;
	int exponent = 0;

	if (p < end && *p == '+')
		p++;
	for (; p < end && (isdigit((unsigned char)*p) || (*p == '.' && !point)); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		digits = true;
		if (mantissa < (u128)1 << 120) {
			mantissa = mantissa * 10 + (unsigned)(*p - '0');
			scale -= point;
		} else {
			scale += !point;
		}
	}
	if (!digits)
		return false; /* also "NaN", "Inf" and negative numbers */
	if (p < end && (*p == 'e' || *p == 'E')) {
		bool negative = ++p < end && *p == '-';

		if (p < end && (*p == '-' || *p == '+'))
			p++;
		if (p == end)
			return false;
		for (; p < end && isdigit((unsigned char)*p); p++)
			exponent = KM_MIN(exponent * 10 + (*p - '0'), 1000);
		scale += negative ? -exponent : exponent;
	}
	if (p != end)
		return false;
	for (; scale > 0 && mantissa > 0; scale--) {
		if (mantissa > UINT64_MAX)
			return false;
		mantissa *= 10;
	}
	for (; scale < -1 && mantissa > 0; scale++)
		mantissa /= 10;
	if (scale == -1)
		mantissa = (mantissa + 5) / 10;
	if (mantissa > INT64_MAX)
		return false;
	*ret = (uint64_t)mantissa;
	return true;
}

static bool timestamp(const char *p, const char *end, int64_t request_ns, int64_t *ret)
{
	int64_t ms = 0;

	if (p == end || end - p > 15)
		return false;
	for (; p < end; p++) {
		if (!isdigit((unsigned char)*p))
			return false; /* kubelets have sent -62135596800000 around a pod's start (spec 2d) */
		ms = ms * 10 + (*p - '0');
	}
	if (ms > INT64_MAX / 1000000)
		return false;
	*ret = ms * 1000000;
	return *ret >= TIMESTAMP_MIN_NS && *ret <= request_ns + TIMESTAMP_FUTURE_NS;
}

/* The quoted value at l->p: borrowed as it stands, or unescaped into scratch. l->p is then behind the closing quote. */
static bool label_value(struct line *l, char *scratch, const char **ret, size_t *ret_len)
{
	const char *start = l->p, *p = start;
	size_t n = 0;

	while (p < l->end && *p != '"' && *p != '\\')
		p++;
	if (p == l->end)
		return false;
	if (*p == '"') {
		*ret = start;
		*ret_len = (size_t)(p - start);
		l->p = p + 1;
		return true;
	}
	for (p = start; p < l->end && *p != '"'; p++) {
		char c = *p;

		if (c == '\\') {
			if (++p == l->end)
				return false;
			c = *p == 'n' ? '\n' : *p;
			if (*p != 'n' && *p != '"' && *p != '\\')
				return false;
		}
		if (n == AGG_NAME_MAX)
			return false;
		scratch[n++] = c;
	}
	if (p == l->end)
		return false;
	*ret = scratch;
	*ret_len = n;
	l->p = p + 1;
	return true;
}

static bool labels(struct line *l, struct agg_line *out)
{
	char other[AGG_NAME_MAX];

	for (;;) {
		const char *key = l->p, *value;
		size_t key_len, value_len;

		if (l->p < l->end && *l->p == '}') {
			l->p++;
			return true;
		}
		while (l->p < l->end && *l->p != '=')
			l->p++;
		key_len = (size_t)(l->p - key);
		if (l->end - l->p < 2 || l->p[1] != '"')
			return false;
		l->p += 2;
		if (key_len == 9 && memcmp(key, "namespace", 9) == 0) {
			if (!label_value(l, l->scratch[0], &out->namespace_, &out->namespace_len))
				return false;
		} else if (key_len == 3 && memcmp(key, "pod", 3) == 0) {
			if (!label_value(l, l->scratch[1], &out->pod, &out->pod_len))
				return false;
		} else if (key_len == 9 && memcmp(key, "container", 9) == 0) {
			if (!label_value(l, l->scratch[2], &out->container, &out->container_len))
				return false;
		} else if (!label_value(l, other, &value, &value_len)) {
			return false;
		}
		if (l->p < l->end && *l->p == ',')
			l->p++;
	}
}

static void skip_blanks(struct line *l)
{
	while (l->p < l->end && (*l->p == ' ' || *l->p == '\t'))
		l->p++;
}

static const char *word_end(const struct line *l)
{
	const char *p = l->p;

	while (p < l->end && *p != ' ' && *p != '\t')
		p++;
	return p;
}

/* What follows the name of a series of ours. */
static bool parse_line(struct line *l, const struct family *family, int64_t request_ns, struct agg_line *out)
{
	const char *end;

	*out = (struct agg_line){.series = family->series, .timestamp_ns = request_ns};
	if (l->p < l->end && *l->p == '{') {
		l->p++;
		if (!labels(l, out))
			return false;
	}
	if (family->container && (!out->namespace_len || !out->pod_len || !out->container_len))
		return false;
	skip_blanks(l);
	end = word_end(l);
	if (!scaled_number(l->p, end, family->scale, &out->value))
		return false;
	l->p = end;
	skip_blanks(l);
	if (l->p == l->end)
		return true;
	end = word_end(l);
	if (!timestamp(l->p, end, request_ns, &out->timestamp_ns))
		return false;
	l->p = end;
	skip_blanks(l);
	return l->p == l->end;
}

int agg_prom_parse(
	const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg, struct agg_prom_stats *ret)
{
	const char *p = text, *end = text + len;
	struct agg_prom_stats stats = {0};
	struct agg_line out;
	struct line l;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *line_end = newline ? newline : end;
		const struct family *family = NULL;

		if (*p == 'c' || *p == 'n' || *p == 'r' || *p == 's') {
			const char *name_end = p;

			while (name_end < line_end && *name_end != '{' && *name_end != ' ' && *name_end != '\t')
				name_end++;
			family = family_of(p, (size_t)(name_end - p));
			l.p = name_end;
		}
		if (family) {
			l.end = line_end > p && line_end[-1] == '\r' ? line_end - 1 : line_end;
			/* a last line without its end may have lost digits */
			if (!newline || !parse_line(&l, family, request_ns, &out)) {
				stats.skipped++;
			} else {
				stats.lines++;
				if (family->series == AGG_SCRAPE_ERROR)
					stats.scrape_error |= out.value != 0;
				else
					fn(&out, arg);
			}
		}
		p = line_end + 1;
	}
	if (stats.lines + stats.skipped == 0)
		return -EBADMSG;
	*ret = stats;
	return 0;
}
