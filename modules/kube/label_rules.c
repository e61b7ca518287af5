/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/label_rules.h"

#include <string.h>

#include "core/utf8.h"

#define NAME_MAX_BYTES   63
#define PREFIX_MAX_BYTES 253

#define NAME_PATTERN "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define NAME_RULE                                                                                                \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric " \
	"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" NAME_PATTERN "')"
#define VALUE_RULE                                                                                                   \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "    \
	"start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for " \
	"validation is '(" NAME_PATTERN ")?')"
#define SUBDOMAIN_RULE                                                                                             \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must " \
	"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "          \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

/* ASCII only, whatever the locale */
static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_name(const char *s, size_t n)
{
	if (n == 0 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
			return false;
	return true;
}

/* Labels of letters, digits and inner dashes, joined by single dots. */
static bool is_subdomain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool first = i == 0 || s[i - 1] == '.', last = i + 1 == n || s[i + 1] == '.';

		if (!is_lower_alnum(s[i]) && (first || last || (s[i] != '-' && s[i] != '.')))
			return false;
	}
	return n > 0;
}

/* Notes one thing that is wrong; returns false for the caller to return. */
static bool wrong(struct km_buf *why, bool *ret_first, const char *part, const char *text)
{
	if (why) {
		if (!*ret_first)
			km_buf_adds(why, "; ");
		km_buf_adds(why, part);
		km_buf_adds(why, text);
	}
	*ret_first = false;
	return false;
}

bool kube_label_key_valid(const char *key, struct km_buf *why)
{
	const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;
	size_t prefix = slash ? (size_t)(slash - key) : 0, n = strlen(name);
	bool first = true, valid = true;

	if (slash && strchr(name, '/'))
		return wrong(why, &first, "a valid label key ",
			NAME_RULE " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
	if (slash && prefix == 0) {
		valid = wrong(why, &first, "prefix part ", "must be non-empty");
	} else if (slash) {
		if (prefix > PREFIX_MAX_BYTES)
			valid = wrong(why, &first, "prefix part ", "must be no more than 253 bytes");
		if (!is_subdomain(key, prefix))
			valid = wrong(why, &first, "prefix part ", SUBDOMAIN_RULE);
	}
	if (n == 0)
		valid = wrong(why, &first, "name part ", "must be non-empty");
	else if (n > NAME_MAX_BYTES)
		valid = wrong(why, &first, "name part ", "must be no more than 63 bytes");
	if (!is_name(name, n))
		valid = wrong(why, &first, "name part ", NAME_RULE);
	return valid;
}

bool kube_label_value_valid(const char *value, struct km_buf *why)
{
	size_t n = strlen(value);
	bool first = true, valid = true;

	if (n > NAME_MAX_BYTES)
		valid = wrong(why, &first, "", "must be no more than 63 bytes");
	if (n > 0 && !is_name(value, n))
		valid = wrong(why, &first, "", VALUE_RULE);
	return valid;
}

void kube_add_quoted(struct km_buf *out, const char *s)
{
	static const char plain[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
	const char *end = s + strlen(s), *at;
	size_t n;

	km_buf_addc(out, '"');
	for (; s < end; s += KM_MAX(n, (size_t)1)) {
		n = km_utf8_length(s, (size_t)(end - s));
		if (n == 2 && s[0] == '\xc2' && (unsigned char)s[1] < 0xa0) /* C1 control */
			km_buf_addf(out, "\\u00%02x", (unsigned char)s[1]);
		else if (n > 1)
			km_buf_add(out, s, n);
		else if ((at = strchr(plain, *s)))
			km_buf_addf(out, "\\%c", letters[at - plain]);
		else if (*s >= ' ' && *s < 0x7f)
			km_buf_addc(out, *s);
		else
			km_buf_addf(out, "\\x%02x", (unsigned char)*s);
	}
	km_buf_addc(out, '"');
}
