/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/config_private.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *trim(char *s)
{
	size_t n;

	while (is_blank(*s))
		s++;
	n = strlen(s);
	while (n > 0 && is_blank(s[n - 1]))
		s[--n] = '\0';
	return s;
}

static bool is_name(const char *s)
{
	return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] == '\0';
}

/* Takes double quotes off in place; inside them \" and \\ stand for themselves. */
static bool unquote(char *s)
{
	size_t n = strlen(s), out = 0;

	if (*s != '"')
		return true;
	if (n < 2 || s[n - 1] != '"')
		return false;
	for (size_t i = 1; i < n - 1; i++) {
		if (s[i] == '"')
			return false;
		if (s[i] == '\\') {
			if (i + 1 >= n - 1 || (s[i + 1] != '"' && s[i + 1] != '\\'))
				return false;
			i++;
		}
		s[out++] = s[i];
	}
	s[out] = '\0';
	return true;
}

static void scan_line(
	char *line, unsigned number, struct km_diag *diag, void (*fn)(const struct km_ini_line *, void *), void *arg)
{
	struct km_ini_line out = {.number = number};
	char *equals, *end;

	line = trim(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return;
	if (*line == '[') {
		end = strchr(line, ']');
		out.kind = KM_INI_BROKEN_SECTION;
		if (!end || *trim(end + 1) != '\0') {
			km_diag_add(diag, number, "a section header must be [NAME] alone on its line");
		} else {
			*end = '\0';
			out.name = trim(line + 1);
			if (is_name(out.name))
				out.kind = KM_INI_SECTION;
			else
				km_diag_add(diag, number, "\"[%.64s]\" is not a section name", out.name);
		}
		fn(&out, arg);
		return;
	}
	equals = strchr(line, '=');
	if (!equals) {
		/* only its first word: the rest may be a secret */
		line[strcspn(line, " \t:")] = '\0';
		km_diag_add(diag, number, "\"%.64s\" is neither a [section] nor KEY = VALUE nor a comment (#)", line);
		return;
	}
	*equals = '\0';
	out.kind = KM_INI_PAIR;
	out.name = trim(line);
	out.value = trim(equals + 1);
	if (!is_name(out.name))
		km_diag_add(diag, number, "\"%.64s\" is not a key", out.name);
	else if (!unquote(out.value))
		km_diag_add(diag, number, "%s: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)",
			out.name);
	else
		fn(&out, arg);
}

/* 0, or the first byte that has no place in a line. */
static unsigned char bad_byte(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
			return (unsigned char)p[i] ? (unsigned char)p[i] : 0xff;
	return 0;
}

void km_ini_scan(
	const char *text, size_t len, struct km_diag *diag, void (*fn)(const struct km_ini_line *, void *), void *arg)
{
	char line[KM_INI_LINE_MAX + 1];
	unsigned number = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t whole = newline ? (size_t)(newline - text) + 1 : len, n = newline ? whole - 1 : whole;
		unsigned char bad;

		number++;
		if (n > 0 && text[n - 1] == '\r')
			n--;
		bad = bad_byte(text, n);
		if (n > KM_INI_LINE_MAX) {
			km_diag_add(diag, number, "the line is longer than %d bytes", KM_INI_LINE_MAX);
		} else if (bad) {
			km_diag_add(
				diag, number, "a control character (0x%02x) has no place here", bad == 0xff ? 0 : bad);
		} else {
			memcpy(line, text, n);
			line[n] = '\0';
			scan_line(line, number, diag, fn, arg);
		}
		text += whole;
		len -= whole;
	}
}
