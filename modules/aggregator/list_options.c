/* SPDX-License-Identifier: Apache-2.0 */
/* What Kubernetes refuses in a list's options; see the header. */
#include "aggregator/list_options.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MATCH              "resourceVersionMatch"
#define INITIAL            "sendInitialEvents"
#define MATCH_EXACT        "Exact"
#define MATCH_NOT_OLDER    "NotOlderThan"
#define QUOTED_MAX         128 /* bytes of a client's text that come back to it */
#define REASON_FORBIDDEN   "FieldValueForbidden"
#define REASON_UNSUPPORTED "FieldValueNotSupported"

bool agg_option_flag(const struct km_url *url, const char *key)
{
	const char *value = km_url_param(url, key);

	return value && strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

/* ---- numbers ---- */

/* What Go's strconv.ParseInt(s, 10, 64) says against it, NULL: nothing. */
static const char *not_int64(const char *s)
{
	bool negative = *s == '-';
	uint64_t value = 0;

	s += *s == '-' || *s == '+';
	if (!*s)
		return "invalid syntax";
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return "invalid syntax";
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return "value out of range";
	}
	return value > (uint64_t)INT64_MAX + negative ? "value out of range" : NULL;
}

/* Appends a text of the client's, quoted; of an endless one only the beginning. */
static void quote(struct km_buf *out, const char *text)
{
	char head[QUOTED_MAX + 1] = "";

	strncat(head, text, QUOTED_MAX);
	agg_quote(out, head);
}

int agg_list_options_parse(const struct km_url *url, struct km_err *err)
{
	static const char *const keys[] = {"timeoutSeconds", "limit"}; /* in the order in which they are converted */

	for (size_t i = 0; i < KM_ARRAY_LEN(keys); i++) {
		_cleanup_buf_ struct km_buf quoted = KM_BUF_INIT(8 * QUOTED_MAX);
		const char *value = km_url_param(url, keys[i]), *problem = value ? not_int64(value) : NULL;

		if (!problem)
			continue;
		quote(&quoted, value);
		return km_fail(
			err, -EINVAL, "strconv.ParseInt: parsing %s: %s", quoted.error ? "" : quoted.data, problem);
	}
	return 0;
}

/* ---- what does not go together ---- */

static void fault(struct agg_list_faults *f, const char *reason, const char *field, const char *message)
{
	f->causes[f->n++] = (struct agg_status_cause){.reason = reason, .message = message, .field = field};
}

static void forbidden(struct agg_list_faults *f, const char *field, const char *message)
{
	fault(f, REASON_FORBIDDEN, field, message);
}

static void unsupported(struct agg_list_faults *f, const char *value, const char *supported)
{
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(8 * QUOTED_MAX);

	km_buf_adds(&text, "Unsupported value: ");
	quote(&text, value);
	km_buf_addf(&text, ": supported values: %s", supported);
	strncat(f->unsupported, text.error ? "Unsupported value" : text.data, sizeof(f->unsupported) - 1);
	fault(f, REASON_UNSUPPORTED, MATCH, f->unsupported);
}

static void judge_list(struct agg_list_faults *f, const char *match, const char *version, bool goes_on, bool initial)
{
	if (*match) {
		if (!*version)
			forbidden(f, MATCH,
				"Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
		if (goes_on)
			forbidden(f, MATCH, "Forbidden: resourceVersionMatch is forbidden when continue is provided");
		if (strcmp(match, MATCH_EXACT) != 0 && strcmp(match, MATCH_NOT_OLDER) != 0)
			unsupported(f, match, "\"" MATCH_EXACT "\", \"" MATCH_NOT_OLDER "\", \"\"");
		else if (strcmp(match, MATCH_EXACT) == 0 && strcmp(version, "0") == 0)
			forbidden(f, MATCH,
				"Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
	}
	if (initial)
		forbidden(f, INITIAL, "Forbidden: sendInitialEvents is forbidden for list");
}

static void judge_watch(struct agg_list_faults *f, const char *match, bool goes_on, bool initial)
{
	if (initial && strcmp(match, MATCH_NOT_OLDER) != 0)
		forbidden(f, MATCH,
			"Forbidden: sendInitialEvents requires setting resourceVersionMatch to " MATCH_NOT_OLDER);
	if (!*match)
		return;
	if (!initial)
		forbidden(f, MATCH,
			"Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
	if (strcmp(match, MATCH_NOT_OLDER) != 0)
		unsupported(f, match, "\"" MATCH_NOT_OLDER "\"");
	if (goes_on)
		forbidden(f, MATCH, "Forbidden: resourceVersionMatch is forbidden when continue is provided");
}

static const char *text_of(const struct km_url *url, const char *key)
{
	const char *value = km_url_param(url, key);

	return value ? value : "";
}

void agg_list_options_judge(const struct km_url *url, bool watch, struct agg_list_faults *ret)
{
	bool goes_on = *text_of(url, "continue") != '\0', initial = km_url_param(url, INITIAL) != NULL;

	*ret = (struct agg_list_faults){0};
	if (watch)
		judge_watch(ret, text_of(url, MATCH), goes_on, initial);
	else
		judge_list(ret, text_of(url, MATCH), text_of(url, "resourceVersion"), goes_on, initial);
}
