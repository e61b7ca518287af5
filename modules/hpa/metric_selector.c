/* SPDX-License-Identifier: Apache-2.0 */
/* A metric's label selector in its forms: see metric_selector.h. */
#include "hpa/metric_selector.h"

#include <errno.h>
#include <string.h>

#include "core/buf.h"
#include "kube/selector.h"

static void add_list(struct km_buf *out, json_t *values)
{
	json_t *value;
	size_t i;

	json_array_foreach(values, i, value)
	{
		if (i > 0)
			km_buf_addc(out, ' ');
		km_buf_adds(out, json_string_value(value));
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Go prints a map sorted by its keys. */
static int add_labels(struct km_buf *out, json_t *labels)
{
	size_t n = 0;
	const char **keys = calloc(json_object_size(labels) + 1, sizeof(*keys)), *key;
	json_t *value;

	if (!keys)
		return -ENOMEM;
	json_object_foreach(labels, key, value) keys[n++] = key;
	qsort(keys, n, sizeof(*keys), by_text);
	for (size_t i = 0; i < n; i++) {
		km_buf_adds(out, keys[i]);
		km_buf_adds(out, ": ");
		km_buf_adds(out, json_string_value(json_object_get(labels, keys[i])));
		km_buf_addc(out, ',');
	}
	free(keys);
	return 0;
}

/* Of a selector whose members are known to be of the right types. */
static int show(json_t *in, struct km_buf *out)
{
	json_t *expression;
	size_t i;
	int r;

	km_buf_adds(out, "&LabelSelector{MatchLabels:map[string]string{");
	if ((r = add_labels(out, json_object_get(in, "matchLabels"))) < 0)
		return r;
	km_buf_adds(out, "},MatchExpressions:[]LabelSelectorRequirement{");
	json_array_foreach(json_object_get(in, "matchExpressions"), i, expression)
	{
		km_buf_adds(out, "LabelSelectorRequirement{Key:");
		km_buf_adds(out, json_string_value(json_object_get(expression, "key")));
		km_buf_adds(out, ",Operator:");
		km_buf_adds(out, json_string_value(json_object_get(expression, "operator")));
		km_buf_adds(out, ",Values:[");
		add_list(out, json_object_get(expression, "values"));
		km_buf_adds(out, "],},");
	}
	km_buf_adds(out, "},}");
	return out->error;
}

static int read_forms(json_t *in, struct hpa_metric_selector *ret, struct km_err *err)
{
	_cleanup_(kube_selector_freep) struct kube_selector *selector = NULL;
	_cleanup_buf_ struct km_buf query = KM_BUF_INIT(HPA_SELECTOR_TEXT_MAX),
				    shown = KM_BUF_INIT(HPA_SELECTOR_TEXT_MAX);
	int r = kube_selector_decode(in, &selector, err);

	if (r < 0)
		return r;
	kube_selector_text(selector, &query);
	r = query.error ? query.error : show(in, &shown);
	if (r == -EMSGSIZE)
		return km_fail(err, -EINVAL, "the label selector is longer than %d bytes", HPA_SELECTOR_TEXT_MAX);
	if (r < 0)
		return r;
	ret->query = km_buf_take(&query, NULL);
	ret->shown = km_buf_take(&shown, NULL);
	return ret->query && ret->shown ? 0 : -ENOMEM;
}

int hpa_metric_selector_read(json_t *in, struct hpa_metric_selector *ret)
{
	struct hpa_metric_selector made = {0};
	struct km_err err = {""};
	int r = 0;

	if (!in || json_is_null(in)) {
		made.query = strdup("");
		made.shown = strdup("nil");
	} else {
		made.object = json_incref(in);
		r = read_forms(in, &made, &err);
		if (r == -EINVAL) {
			made.query = strdup("");
			made.shown = strdup("");
			made.error = strdup(err.text);
			r = made.error ? 0 : -ENOMEM;
		}
	}
	if (r < 0 || !made.query || !made.shown) {
		hpa_metric_selector_clear(&made);
		return -ENOMEM;
	}
	*ret = made;
	return 0;
}

void hpa_metric_selector_clear(struct hpa_metric_selector *s)
{
	json_decref(s->object);
	free(s->query);
	free(s->shown);
	free(s->error);
	*s = (struct hpa_metric_selector){0};
}
