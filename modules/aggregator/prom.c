/* SPDX-License-Identifier: Apache-2.0 */
/* Lines, labels, numbers; see the header. Nothing here may trust the text: it comes from another host. */
#include "aggregator/prom.h"

#include <errno.h>
#include <string.h>

#include "aggregator/store.h"

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
	{SERIES("container_swap_usage_bytes"), AGG_CONTAINER_SWAP, 0, true},
	{SERIES("container_start_time_seconds"), AGG_CONTAINER_START, 9, true},
	{SERIES("node_cpu_usage_seconds_total"), AGG_NODE_CPU, 9, false},
	{SERIES("node_memory_working_set_bytes"), AGG_NODE_MEMORY, 0, false},
	{SERIES("node_swap_usage_bytes"), AGG_NODE_SWAP, 0, false},
	{SERIES("resource_scrape_error"), AGG_SCRAPE_ERROR, 0, false},
	{SERIES("scrape_error"), AGG_SCRAPE_ERROR, 0, false},
};

#define EXPONENT_MAX     1000 /* beyond it any number is zero or too large */
#define TIMESTAMP_DIGITS 15   /* milliseconds until the year 33658 */
#define NS_PER_MS        INT64_C(1000000)

#define DIGITS_MAX 18 /* a number of so many fits in 63 bits */

/* A line being read; unescaped label values need room of their own. */
struct line {
	const char *p, *end;
	bool escapes; /* there is a backslash in it */
	char scratch[3][AGG_NAME_MAX];
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static const struct family *family_of(const char *name, size_t len)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(families); i++)
		if (families[i].len == len && memcmp(families[i].name, name, len) == 0)
			return &families[i];
	return NULL;
}

/* What stands behind the digits: nothing, or an exponent. */
static bool exponent_of(const char *p, const char *end, int *ret)
{
	bool negative;
	int e = 0;

	if (p == end)
		return true; /* *ret stays 0 */
	if (*p != 'e' && *p != 'E')
		return false;
	p++;
	negative = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end)
		return false;
	for (; p < end && is_digit(*p); p++)
		e = KM_MIN(e * 10 + (*p - '0'), EXPONENT_MAX);
	*ret = negative ? -e : e;
	return p == end;
}

/* The usual number: not too many digits, no sign, no exponent, and no more decimals than the unit has. */
static bool plain_number(const char *p, const char *end, int scale, uint64_t *ret)
{
	static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
	uint64_t value = 0;
	bool point = false;

	if (p == end || end - p > DIGITS_MAX || !is_digit(*p))
		return false;
	for (; p < end; p++) {
		if (is_digit(*p)) {
			value = value * 10 + (uint64_t)(*p - '0');
			scale -= point;
		} else if (*p == '.' && !point) {
			point = true;
		} else {
			return false;
		}
	}
	if (scale < 0 || value > INT64_MAX / powers[scale])
		return false;
	*ret = value * powers[scale];
	return true;
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

	if (plain_number(p, end, scale, ret))
		return true;
	if (p < end && *p == '+')
		p++;
	/* 37 digits are read, further ones only counted: what they would change is below half a unit */
	for (; p < end && (is_digit(*p) || (*p == '.' && !point)); p++) {
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
	if (!digits || !exponent_of(p, end, &exponent))
		return false; /* also "NaN", "Inf" and negative numbers */
	scale += exponent;
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

	if (p == end || end - p > TIMESTAMP_DIGITS)
		return false;
	for (; p < end; p++) {
		if (!is_digit(*p))
			return false; /* also a negative one */
		ms = ms * 10 + (*p - '0');
	}
	if (ms > INT64_MAX / NS_PER_MS)
		return false;
	if (!agg_timestamp_ok(ms * NS_PER_MS, request_ns))
		return false;
	*ret = ms * NS_PER_MS;
	return true;
}

/* The quoted value at l->p: borrowed as it stands, or unescaped into scratch. l->p is then behind the closing quote. */
static bool label_value(struct line *l, char *scratch, const char **ret, size_t *ret_len)
{
	const char *start = l->p, *p;
	size_t n = 0;

	if (!l->escapes) {
		p = memchr(start, '"', (size_t)(l->end - start));
		if (!p)
			return false;
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

static void skip_blanks(struct line *l)
{
	while (l->p < l->end && (*l->p == ' ' || *l->p == '\t'))
		l->p++;
}

/* Where the value of this label goes; NULL: nowhere. */
static const char **value_place(
	struct agg_line *out, const char *key, size_t len, unsigned *ret_which, size_t **ret_len)
{
	if (len == 9 && memcmp(key, "namespace", 9) == 0) {
		*ret_which = 0;
		*ret_len = &out->namespace_len;
		return &out->namespace_;
	}
	if (len == 3 && memcmp(key, "pod", 3) == 0) {
		*ret_which = 1;
		*ret_len = &out->pod_len;
		return &out->pod;
	}
	if (len == 9 && memcmp(key, "container", 9) == 0) {
		*ret_which = 2;
		*ret_len = &out->container_len;
		return &out->container;
	}
	return NULL;
}

static bool value_follows(struct line *l, const char *text, size_t len, const char **ret, size_t *ret_len)
{
	if ((size_t)(l->end - l->p) < len || memcmp(l->p, text, len) != 0)
		return false;
	l->p += len;
	return label_value(l, NULL, ret, ret_len);
}

/* As every kubelet writes the labels of a container. Otherwise false, and nothing has happened. */
static bool usual_labels(struct line *l, struct agg_line *out)
{
	const struct agg_line before = *out;
	const char *p = l->p;

	if (!l->escapes && value_follows(l, SERIES("container=\""), &out->container, &out->container_len) &&
		value_follows(l, SERIES(",namespace=\""), &out->namespace_, &out->namespace_len) &&
		value_follows(l, SERIES(",pod=\""), &out->pod, &out->pod_len) && l->p < l->end && *l->p == '}') {
		l->p++;
		return true;
	}
	*out = before;
	l->p = p;
	return false;
}

/* What stands between the braces; l->p is behind the closing one then. A label given twice is an error. */
static bool labels(struct line *l, struct agg_line *out)
{
	char scratch[AGG_NAME_MAX];

	for (;;) {
		const char *key, *other, **value;
		size_t key_len, other_len, *value_len;
		unsigned which;
		bool ok;

		skip_blanks(l);
		if (l->p < l->end && *l->p == '}') {
			l->p++;
			return true;
		}
		key = l->p;
		while (l->p < l->end && (is_name_char(*l->p)))
			l->p++;
		key_len = (size_t)(l->p - key);
		skip_blanks(l);
		if (key_len == 0 || l->p == l->end || *l->p != '=')
			return false;
		l->p++;
		skip_blanks(l);
		if (l->p == l->end || *l->p != '"')
			return false;
		l->p++;
		value = value_place(out, key, key_len, &which, &value_len);
		if (value)
			ok = !*value && label_value(l, l->scratch[which], value, value_len);
		else
			ok = label_value(l, scratch, &other, &other_len);
		if (!ok)
			return false;
		skip_blanks(l);
		if (l->p < l->end && *l->p == ',')
			l->p++;
		else if (l->p == l->end || *l->p != '}')
			return false;
	}
}

static const char *word_end(const struct line *l)
{
	const char *p = l->p;

	while (p < l->end && *p != ' ' && *p != '\t')
		p++;
	return p;
}

static bool figure(struct line *l, const struct family *family, int64_t request_ns, struct agg_line *out)
{
	const char *end;

	skip_blanks(l);
	end = word_end(l);
	if (!scaled_number(l->p, end, family->scale, &out->value))
		return false;
	if (family->series == AGG_CONTAINER_START &&
		(out->value > INT64_MAX || !agg_timestamp_ok((int64_t)out->value, request_ns)))
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

/*
 * What follows the name of a series of ours: true and the line, or false; out->series is then AGG_CONTAINER_LISTED if
 * at least the container could be read, else AGG_SCRAPE_ERROR.
 */
static bool parse_line(struct line *l, const struct family *family, int64_t request_ns, struct agg_line *out)
{
	*out = (struct agg_line){.series = AGG_SCRAPE_ERROR, .timestamp_ns = request_ns};
	if (l->p < l->end && *l->p == '{') {
		l->p++;
		l->escapes = memchr(l->p, '\\', (size_t)(l->end - l->p));
		if (!usual_labels(l, out) && !labels(l, out))
			return false;
	}
	if (family->container) {
		if (!out->namespace_len || !out->pod_len || !out->container_len)
			return false;
		out->series = AGG_CONTAINER_LISTED;
	}
	if (!figure(l, family, request_ns, out))
		return false;
	out->series = family->series;
	return true;
}

static bool ends_name(const char *p, const char *end)
{
	return p == end || *p == '{' || *p == ' ' || *p == '\t';
}

/* The family a line belongs to, and where its name ends; NULL: none of ours. last: that of the line before, or NULL. */
static const struct family *family_at(
	const char *p, const char *end, const struct family *last, const char **ret_name_end)
{
	const char *name_end = p;

	if (last && (size_t)(end - p) > last->len && memcmp(p, last->name, last->len) == 0 &&
		ends_name(p + last->len, end)) {
		*ret_name_end = p + last->len;
		return last;
	}
	/* most lines are HELP, TYPE and pod_: not worth a longer look */
	if (*p != 'c' && *p != 'n' && *p != 'r' && *p != 's')
		return NULL;
	while (!ends_name(name_end, end))
		name_end++;
	*ret_name_end = name_end;
	return family_of(p, (size_t)(name_end - p));
}

int agg_prom_parse(
	const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg, struct agg_prom_stats *ret)
{
	const char *p = text, *end = text + len;
	const struct family *last = NULL;
	struct agg_prom_stats stats = {0};
	bool ours = false;
	struct agg_line out;
	struct line l;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *line_end = newline ? newline : end;
		const struct family *family = p < line_end ? family_at(p, line_end, last, &l.p) : NULL;

		if (family) {
			ours = true;
			last = family;
			l.end = line_end[-1] == '\r' ? line_end - 1 : line_end;
			/* a last line without its end may have lost digits */
			if (!parse_line(&l, family, request_ns, &out) || !newline) {
				stats.skipped++;
				if (newline && out.series == AGG_CONTAINER_LISTED)
					fn(&out, arg);
			} else if (out.series == AGG_SCRAPE_ERROR) {
				stats.scrape_error |= out.value != 0;
			} else {
				stats.lines++;
				fn(&out, arg);
			}
		}
		p = line_end + 1;
	}
	if (!ours)
		return -EBADMSG;
	*ret = stats;
	return 0;
}
