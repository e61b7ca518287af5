/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HPA controller against what Kubernetes 1.36 answered. Usage: hpa-vectors FILE...; prints each difference, ends
 * with "N passed, N failed" (lines), and fails when a line differed or was not run.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hpa_vectors.h"

static const struct {
	const char *kind;
	int (*run)(json_t *line, struct vectors_report *report);
} kinds[] = {
	{"calc", hpa_calc_run},
	{"rate", hpa_rate_run},
	{"stab", hpa_stab_run},
	{"seq", hpa_seq_run},
};

static size_t passed, failed;

void vectors_differ(struct vectors_report *report, const char *fmt, ...)
{
	va_list args;

	printf("%s: ", report->where);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	report->differences++;
}

static bool is_type(json_t *value, char type)
{
	switch (type) {
	case 'i':
		return json_is_integer(value);
	case 's':
		return json_is_string(value);
	case 'b':
		return json_is_boolean(value);
	case 'd':
		return json_is_number(value);
	case 'a':
		return json_is_array(value);
	default:
		return json_is_object(value);
	}
}

bool vectors_known(json_t *object, const char *const *keys, struct vectors_report *report)
{
	const char *key;
	json_t *value;
	bool known = true;

	if (!json_is_object(object)) {
		vectors_differ(report, "an object was expected");
		return false;
	}
	json_object_foreach(object, key, value)
	{
		size_t i = 0;

		while (keys[i] && strcmp(keys[i] + 2, key) != 0)
			i++;
		if (!keys[i] || (!json_is_null(value) && !is_type(value, keys[i][0]))) {
			vectors_differ(report, "member \"%s\" is not known, or of another type", key);
			known = false;
		}
	}
	return known;
}

static void replay_line(const char *path, size_t number, const char *text, size_t len)
{
	json_error_t error;
	json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	const char *id = vectors_text(line, "id"), *kind = vectors_text(line, "kind");
	struct vectors_report report = {0};
	char where[512];
	size_t k = 0;
	int r = -EINVAL;

	snprintf(where, sizeof(where), "%s:%zu %s", path, number, id);
	report.where = where;
	while (k < KM_ARRAY_LEN(kinds) && strcmp(kinds[k].kind, kind) != 0)
		k++;
	if (!line)
		vectors_differ(&report, "%s", error.text);
	else if (k == KM_ARRAY_LEN(kinds))
		vectors_differ(&report, "kind \"%s\" is none of this program's", kind);
	else if ((r = kinds[k].run(line, &report)) < 0)
		vectors_differ(&report, "not run");
	if (r == 0 && report.differences == 0)
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
