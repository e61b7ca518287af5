/* SPDX-License-Identifier: Apache-2.0 */
/* One row an annotation: see overrides.h. */
#include "hpa/overrides.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "kube/label_rules.h"

#define PERIOD_MAX_NS (3600 * KM_NSEC_PER_SEC)
#define HOLD_MAX_NS   (24 * PERIOD_MAX_NS)
#define TOLERANCE_MAX 1000.0

static bool read_period(const char *text, int64_t max_ns, int64_t *ret)
{
	int64_t ns;

	if (km_duration_parse(text, strlen(text), &ns) < 0 || ns < 0 || ns > max_ns)
		return false;
	*ret = ns;
	return true;
}

static bool read_initialization(const char *text, struct hpa_overrides *ret)
{
	return read_period(text, PERIOD_MAX_NS, &ret->cpu_initialization_ns);
}

static bool read_delay(const char *text, struct hpa_overrides *ret)
{
	return read_period(text, PERIOD_MAX_NS, &ret->readiness_delay_ns);
}

static bool read_hold_value(const char *text, struct hpa_overrides *ret)
{
	return read_period(text, HOLD_MAX_NS, &ret->hold_value_ns);
}

/* Digits and a point: what strtod takes besides (hexadecimal, infinity) is no tolerance. */
static bool read_tolerance(const char *text, struct hpa_overrides *ret)
{
	size_t len = strlen(text);
	double value = 0, unit = 1;
	bool fraction = false;

	if (len == 0 || len > 12 || strspn(text, "0123456789.") != len || strchr(text, '.') != strrchr(text, '.') ||
		strcmp(text, ".") == 0)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c == '.') {
			fraction = true;
			continue;
		}
		value = value * 10 + (*c - '0');
		unit = fraction ? unit * 10 : unit;
	}
	if (value / unit > TOLERANCE_MAX)
		return false;
	ret->tolerance = value / unit;
	return true;
}

static bool read_yes(const char *text, bool *ret)
{
	*ret = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
	return *ret || strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
}

static bool read_hold_replicas(const char *text, struct hpa_overrides *ret)
{
	return read_yes(text, &ret->hold_replicas);
}

static bool read_shared_pods(const char *text, struct hpa_overrides *ret)
{
	return read_yes(text, &ret->shared_pods);
}

static bool read_container(const char *text, struct hpa_overrides *ret)
{
	if (!*text || strlen(text) >= sizeof(ret->container) || !kube_label_value_valid(text, NULL))
		return false;
	snprintf(ret->container, sizeof(ret->container), "%s", text);
	return true;
}

static const struct {
	const char *name, *takes;
	bool (*read)(const char *text, struct hpa_overrides *ret);
} rows[] = {
	{"tolerance", "a number from 0 to 1000, as 0.05", read_tolerance},
	{"cpu-initialization-period", "a duration up to 1h, as 2m", read_initialization},
	{"initial-readiness-delay", "a duration up to 1h, as 10s", read_delay},
	{"hold-last-value", "a duration up to 24h, as 10m", read_hold_value},
	{"hold-replicas", "yes or no", read_hold_replicas},
	{"accept-shared-pods", "yes or no", read_shared_pods},
	{"container", "a container's name", read_container},
};

static const size_t prefix_len = sizeof(HPA_ANNOTATION_PREFIX) - 1;

static json_t *annotations_of(json_t *object)
{
	return json_object_get(json_object_get(object, "metadata"), "annotations");
}

static bool is_ours(const char *key)
{
	return strncmp(key, HPA_ANNOTATION_PREFIX, prefix_len) == 0;
}

/* Names what is wrong with one of them, behind what was wrong before. */
static void complain(struct km_err *err, bool first, const char *key, const char *takes)
{
	size_t len = first ? 0 : strlen(err->text);

	if (len + 1 < sizeof(err->text))
		snprintf(err->text + len, sizeof(err->text) - len, "%sannotation %.120s %s%s", first ? "" : "; ", key,
			takes ? "takes " : "is none that kmetricsd knows: correct or remove it", takes ? takes : "");
}

static bool take(const char *key, json_t *value, struct hpa_overrides *ret, const char **ret_takes)
{
	const char *text = json_string_value(value);

	*ret_takes = NULL;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		if (strcmp(key + prefix_len, rows[i].name) != 0)
			continue;
		*ret_takes = rows[i].takes;
		return text && rows[i].read(text, ret);
	}
	return false;
}

int hpa_overrides_decode(json_t *object, struct hpa_overrides *ret, struct km_err *err)
{
	struct km_err ignored;
	const char *key, *takes;
	json_t *value;
	bool fine = true;

	*ret = (struct hpa_overrides){.tolerance = -1, .cpu_initialization_ns = -1, .readiness_delay_ns = -1};
	json_object_foreach(annotations_of(object), key, value)
	{
		if (!is_ours(key) || take(key, value, ret, &takes))
			continue;
		complain(err ? err : &ignored, fine, key, takes);
		fine = false;
	}
	return fine ? 0 : -EINVAL;
}

/* Each of ours in a is in b with the same value. */
static bool are_within(json_t *a, json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach(
		a, key, value) if (is_ours(key) && !json_equal(value, json_object_get(b, key))) return false;
	return true;
}

bool hpa_overrides_same(json_t *a, json_t *b)
{
	json_t *in_a = annotations_of(a), *in_b = annotations_of(b);

	return are_within(in_a, in_b) && are_within(in_b, in_a);
}
