/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantities against what Kubernetes 1.36 answered (recorded; one JSON object a line): reading to milli, double and
 * canonical text, and printing. Usage: vectors_quantity FILE...; each difference is printed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "kube/quantity.h"

static size_t passed, failed;

static bool has_tag(json_t *line, const char *tag)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(line, "tags"), i, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), tag) == 0)
			return true;
	}
	return false;
}

/* Whether the line holds; what does not is printed after where. */
static bool replay_parse(json_t *line, const char *where)
{
	const char *in = json_string_value(json_object_get(line, "in")),
		   *canonical = json_string_value(json_object_get(line, "canonical"));
	json_t *milli = json_object_get(line, "milli"), *number = json_object_get(line, "float");
	char text[KM_QUANTITY_TEXT_MAX];
	struct km_quantity q;
	bool ok = true, milli_counts = !has_tag(line, "milli-odd");

	if (!in || !canonical || !json_is_number(number) || (milli_counts && !json_is_integer(milli))) {
		printf("%s: not a line this program knows\n", where);
		return false;
	}
	if (km_quantity_parse(in, strlen(in), &q) < 0) {
		printf("%s: \"%s\" is refused\n", where, in);
		return false;
	}
	if (milli_counts && km_quantity_milli(&q) != json_integer_value(milli)) {
		printf("%s: \"%s\": milli %" PRId64 ", expected %" JSON_INTEGER_FORMAT "\n", where, in,
			km_quantity_milli(&q), json_integer_value(milli));
		ok = false;
	}
	if (km_quantity_float(&q) != json_number_value(number)) {
		printf("%s: \"%s\": float %.17g, expected %.17g\n", where, in, km_quantity_float(&q),
			json_number_value(number));
		ok = false;
	}
	km_quantity_format(&q, text);
	if (strcmp(text, canonical) != 0) {
		printf("%s: \"%s\": canonical %s, expected %s\n", where, in, text, canonical);
		ok = false;
	}
	return ok;
}

static bool replay_format(json_t *line, const char *where)
{
	const char *canonical = json_string_value(json_object_get(line, "canonical")),
		   *name = json_string_value(json_object_get(line, "format"));
	json_t *milli = json_object_get(line, "milli");
	enum km_quantity_format format = KM_QUANTITY_DECIMAL_SI;
	char text[KM_QUANTITY_TEXT_MAX];
	struct km_quantity q;

	if (!canonical || !name || !json_is_integer(milli) ||
		(strcmp(name, "DecimalSI") != 0 && strcmp(name, "BinarySI") != 0)) {
		printf("%s: not a line this program knows\n", where);
		return false;
	}
	if (strcmp(name, "BinarySI") == 0)
		format = KM_QUANTITY_BINARY_SI;
	q = km_quantity_of_milli(json_integer_value(milli), format);
	km_quantity_format(&q, text);
	if (strcmp(text, canonical) == 0)
		return true;
	printf("%s: %" JSON_INTEGER_FORMAT " as %s: %s, expected %s\n", where, json_integer_value(milli), name, text,
		canonical);
	return false;
}

static void replay_line(const char *path, size_t number, const char *text, size_t len)
{
	json_error_t error;
	json_t *line = json_loadb(text, len, 0, &error);
	char where[512];
	const char *fn;
	bool ok = false;

	/* A float of 2^63 and more is written as an integer that does not fit. Such a line has no milli that counts. */
	if (!line)
		line = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, &error);
	fn = json_string_value(json_object_get(line, "fn"));

	snprintf(where, sizeof(where), "%s:%zu", path, number);
	if (!line)
		printf("%s: %s\n", where, error.text);
	else if (fn && strcmp(fn, "parse") == 0)
		ok = replay_parse(line, where);
	else if (fn && strcmp(fn, "format") == 0)
		ok = replay_format(line, where);
	else
		printf("%s: no function of this program\n", where);
	if (ok)
		passed++;
	else
		failed++;
	json_decref(line);
}

static void replay_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0, number = 0;
	ssize_t len;

	if (!f) {
		perror(path);
		failed++;
		return;
	}
	while ((len = getline(&text, &room, f)) > 0)
		replay_line(path, ++number, text, (size_t)len);
	if (ferror(f) || number == 0) {
		printf("%s: cannot be read, or is empty\n", path);
		failed++;
	}
	free(text);
	fclose(f);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++)
		replay_file(argv[i]);
	printf("%zu passed, %zu failed\n", passed, failed);
	return failed || !passed;
}
