/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics that custom and external metrics APIs have: asked for all at once before the round computes, so that one
 * slow adapter costs its own time only. See round.h. */
#include <errno.h>
#include <string.h>

#include "hpa/round.h"

/* Whether computing it needs what only the world has; one that is to fail anyway is not asked for. */
static bool is_to_be_asked(const struct hpa_metric *metric)
{
	if (metric->selector.error)
		return false;
	switch ((enum hpa_metric_type)metric->type) {
	case HPA_METRIC_PODS:
		return metric->has_average_value;
	case HPA_METRIC_OBJECT:
		return (metric->is_value && metric->has_value) ||
		       (metric->is_average_value && metric->has_average_value);
	case HPA_METRIC_EXTERNAL:
		return metric->has_average_value || metric->has_value;
	default:
		return false;
	}
}

int hpa_round_ask_metrics(struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;
	const struct hpa_world *world = round->config.world;

	round->fetched = calloc(spec->n_metrics, sizeof(*round->fetched));
	if (!round->fetched)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_metrics; i++) {
		round->fetched[i].open = is_to_be_asked(&spec->metrics[i]);
		round->n_open += round->fetched[i].open;
	}
	if (round->n_open == 0)
		return 0;
	round->question = HPA_ASKED_METRICS;
	for (size_t i = 0; i < spec->n_metrics; i++)
		if (round->fetched[i].open)
			world->metric_get(round, i, &spec->metrics[i], round->selector, world->arg);
	return 0;
}

/* The names are copied behind the entries. */
static struct hpa_pod_metric *copy_pods(const struct hpa_pod_metric *pods, size_t n)
{
	size_t room = n * sizeof(*pods);
	struct hpa_pod_metric *copy;
	char *text;

	for (size_t i = 0; i < n; i++)
		room += strlen(pods[i].pod) + 1;
	copy = malloc(room + 1);
	if (!copy)
		return NULL;
	text = (char *)(copy + n);
	for (size_t i = 0; i < n; i++) {
		copy[i] = pods[i];
		copy[i].pod = text;
		text = stpcpy(text, pods[i].pod) + 1;
	}
	return copy;
}

static int64_t *copy_values(const int64_t *values, size_t n)
{
	int64_t *copy = malloc(n * sizeof(*values) + 1);

	if (copy && n > 0)
		memcpy(copy, values, n * sizeof(*values));
	return copy;
}

void hpa_round_keep_metric(struct hpa_round *round, size_t i, const struct hpa_metric_answer *answer)
{
	struct hpa_fetched *f = &round->fetched[i];

	assert(f->open);
	f->open = false;
	round->n_open--;
	f->n = answer->n;
	if (answer->error)
		f->error = strdup(answer->error);
	else if (answer->pods)
		f->pods = copy_pods(answer->pods, answer->n);
	else
		f->values_milli = copy_values(answer->values_milli, answer->n);
}

void hpa_round_forget_metrics(struct hpa_round *round)
{
	if (!round->fetched)
		return;
	for (size_t i = 0; i < round->config.spec->n_metrics; i++) {
		free(round->fetched[i].error);
		free(round->fetched[i].pods);
		free(round->fetched[i].values_milli);
	}
	free(round->fetched);
	round->fetched = NULL;
}
