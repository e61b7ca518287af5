/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd explain: why an HPA is scaled as it is, from the running daemon's last look at it.
 */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "core/clock.h"
#include "core/timetext.h"

static const char help[] =
	"Usage: kmetricsd explain [NAMESPACE/NAME] [--diff] [-o json] [--config FILE]\n\n"
	"Shows how the running daemon came to an HPA's replica count: each metric with the pods behind it, what\n"
	"stabilization and limits made of it, and what comes next. Without a name: all HPAs in one table.\n\n"
	"  --diff   beside what kube-controller-manager's controller made of it, while kmetricsd only watches (mode =\n"
	"           shadow, or auto before the hand-over)\n\n"
	"Exit codes: 0 fine, 1 the HPA could not be computed, or (--diff) the counts differ; 3 no daemon answers, or "
	"there\n"
	"is no such HPA\n\n"
	"Examples:\n"
	"  kmetricsd explain shop/web\n"
	"  kmetricsd explain --diff\n"
	"  kmetricsd explain shop/web -o json | jq '.metrics[].pods'\n";

static long long number_of(json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* "3 s ago", "in 12 s" */
static void print_when(json_t *object, const char *key)
{
	const char *text = text_of(object, key);
	int64_t ns, seconds;

	if (km_rfc3339_parse(text, strlen(text), &ns) < 0)
		return;
	seconds = (km_wall_ns() - ns) / KM_NSEC_PER_SEC;
	if (seconds >= 0)
		printf("%s (%lld s ago)", text, (long long)seconds);
	else
		printf("%s (in %lld s)", text, (long long)-seconds);
}

/* "80%", "200Mi", "1500m (of the whole target)": of a target or a current member. */
static void format_figure(json_t *figure, char *out, size_t size)
{
	const char *average = text_of(figure, "averageValue"), *value = text_of(figure, "value");
	json_t *utilization = json_object_get(figure, "utilization");

	if (utilization && *average)
		snprintf(out, size, "%lld%% (%s)", (long long)json_integer_value(utilization), average);
	else if (utilization)
		snprintf(out, size, "%lld%%", (long long)json_integer_value(utilization));
	else
		snprintf(out, size, "%s", *value ? value : average);
}

static void format_groups(json_t *groups, char *out, size_t size)
{
	const char *name;
	json_t *count;
	size_t len = 0;

	*out = '\0';
	json_object_foreach(groups, name, count) if (len < size) len += (size_t)snprintf(
		out + len, size - len, "%s%lld %s", len > 0 ? ", " : "", (long long)json_integer_value(count), name);
}

static void print_pods(json_t *metric)
{
	json_t *pod;
	size_t i;

	if (json_array_size(json_object_get(metric, "pods")) > 0)
		printf("    %-44s %-12s %10s %10s  %-20s %s\n", "POD", "GROUP", "REQUEST", "USAGE", "SAMPLE", "WINDOW");
	json_array_foreach(json_object_get(metric, "pods"), i, pod)
	{
		json_t *window = json_object_get(pod, "windowSeconds");

		printf("    %-44s %-12s %10s %10s  %-20s", text_of(pod, "name"), text_of(pod, "group"),
			*text_of(pod, "request") ? text_of(pod, "request") : "-",
			*text_of(pod, "usage") ? text_of(pod, "usage") : "-", text_of(pod, "timestamp"));
		if (window)
			printf(" %.1fs", json_real_value(window));
		putchar('\n');
	}
	if (number_of(metric, "podsNotShown") > 0)
		printf("    and %lld more\n", number_of(metric, "podsNotShown"));
}

static const char *remark_on(json_t *metric)
{
	if (json_is_true(json_object_get(metric, "held")))
		return "held from when it was last well";
	if (json_object_get(metric, "longWindowProposal"))
		return "; fewer once a whole metric-resolution says so";
	return json_is_true(json_object_get(metric, "tolerated")) ? "; within tolerance" : "";
}

static void print_metric(json_t *metric, const struct cli *cli)
{
	json_t *ratio = json_object_get(metric, "ratio"), *damped = json_object_get(metric, "dampedRatio");
	char name[160], target[64] = "-", current[64] = "unknown", groups[128], ratios[48] = "-";

	snprintf(name, sizeof(name), "%s%s%s", text_of(metric, "name"), *text_of(metric, "container") ? " of " : "",
		text_of(metric, "container"));
	if (json_object_get(metric, "target")) {
		format_figure(json_object_get(metric, "target"), target, sizeof(target));
		format_figure(json_object_get(metric, "current"), current, sizeof(current));
	}
	format_groups(json_object_get(metric, "groups"), groups, sizeof(groups));
	if (ratio)
		snprintf(ratios, sizeof(ratios), "%.3f", json_real_value(ratio));
	if (damped)
		snprintf(ratios, sizeof(ratios), "%.3f->%.3f", json_real_value(ratio), json_real_value(damped));
	printf("  %-28s %-10s %-18s %-14s", name, target, current, ratios);
	if (json_object_get(metric, "proposal"))
		printf(" %8lld", number_of(metric, "proposal"));
	else
		printf(" %8s", "-");
	printf("  %s%s\n", groups, remark_on(metric));
	if (*text_of(metric, "error"))
		printf("    %s%s%s\n", cli->colour ? "\033[31m" : "", text_of(metric, "error"),
			cli->colour ? "\033[0m" : "");
	print_pods(metric);
}

static void print_stabilization(json_t *one)
{
	json_t *s = json_object_get(one, "stabilization"), *by = json_object_get(s, "heldBackBy"),
	       *limit = json_object_get(one, "limit");

	if (s && number_of(s, "proposed") != number_of(s, "stabilized"))
		printf("\nStabilization: the metrics ask for %lld, %lld is used", number_of(s, "proposed"),
			number_of(s, "stabilized"));
	if (by) {
		printf(": %lld was recommended at ", number_of(by, "replicas"));
		print_when(by, "at");
		printf(", which holds until ");
		print_when(by, "until");
	}
	if (s && number_of(s, "proposed") != number_of(s, "stabilized"))
		putchar('\n');
	if (limit)
		printf("\nLimit: %s: %s\n", text_of(limit, "reason"), text_of(limit, "message"));
}

static void print_one(json_t *one, const struct cli *cli)
{
	const char *bold = cli->colour ? "\033[1m" : "", *plain = cli->colour ? "\033[0m" : "";
	json_t *metric;
	size_t i;

	printf("%s%s/%s%s scales %s between %lld and %lld\n", bold, text_of(one, "namespace"), text_of(one, "name"),
		plain, text_of(one, "target"), number_of(one, "minReplicas"), number_of(one, "maxReplicas"));
	if (!json_object_get(one, "decidedAt")) {
		printf("nothing was decided yet; %s\n", text_of(one, "turn"));
		return;
	}
	printf("%s%lld -> %lld%s%s%s%s, decided at ", bold, number_of(one, "current"), number_of(one, "desired"), plain,
		*text_of(one, "reason") ? ": " : "", text_of(one, "reason"),
		json_is_true(json_object_get(one, "writes")) ? "" : " (computed only: nothing is written)");
	print_when(one, "decidedAt");
	putchar('\n');
	if (*text_of(one, "failure"))
		printf("%s%s%s\n", cli->colour ? "\033[31m" : "", text_of(one, "failure"), plain);
	if (json_array_size(json_object_get(one, "metrics")) > 0)
		printf("\n  %-28s %-10s %-18s %-14s %8s  %s\n", "METRIC", "TARGET", "CURRENT", "RATIO", "PROPOSAL",
			"PODS");
	json_array_foreach(json_object_get(one, "metrics"), i, metric) print_metric(metric, cli);
	print_stabilization(one);
	if (json_object_get(one, "nextLookBy")) {
		printf("\nNext look: with the next sample, at the latest ");
		print_when(one, "nextLookBy");
		putchar('\n');
	}
	printf("%s\n", text_of(one, "turn"));
}

static void print_all(json_t *reply, const struct cli *cli)
{
	json_t *one;
	size_t i;

	printf("%-48s %8s %8s %8s %-14s %s\n", "HPA", "CURRENT", "DESIRED", cli->diff ? "IN-TREE" : "",
		cli->diff ? "AGREED" : "", "WHY");
	json_array_foreach(json_object_get(reply, "hpas"), i, one)
	{
		json_t *theirs = json_object_get(one, "inTree"), *shadow = json_object_get(one, "shadow");
		char name[600], agreed[48] = "", in_tree[24] = "";

		snprintf(name, sizeof(name), "%s/%s", text_of(one, "namespace"), text_of(one, "name"));
		if (cli->diff) {
			snprintf(in_tree, sizeof(in_tree), "%lld", number_of(theirs, "desiredReplicas"));
			snprintf(agreed, sizeof(agreed), "%lld of %lld", number_of(shadow, "agreed"),
				number_of(shadow, "rounds"));
		}
		printf("%-48s %8lld %8lld %8s %-14s %s\n", name, number_of(one, "current"), number_of(one, "desired"),
			in_tree, agreed, *text_of(one, "failure") ? text_of(one, "failure") : text_of(one, "reason"));
	}
	printf("%s\n", text_of(reply, "turn"));
}

static bool differs(json_t *one)
{
	return json_object_get(one, "decidedAt") &&
	       number_of(one, "desired") != number_of(json_object_get(one, "inTree"), "desiredReplicas");
}

static bool needs_attention(json_t *one, const struct cli *cli)
{
	return *text_of(one, "failure") || (cli->diff && differs(one));
}

int verb_explain(int argc, char **argv)
{
	json_t *reply = NULL, *request, *one;
	struct cli cli;
	bool attention;
	size_t i;
	int code = cli_parse(argc, argv, CLI_JSON | CLI_DIFF, help, &cli);

	if (code >= 0)
		return code;
	if (cli.n_words > 1 || (cli.n_words == 1 && (!strchr(cli.words[0], '/') || cli.diff))) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	request = cli.n_words ? json_pack("{s:s, s:s}", "op", "explain", "hpa", cli.words[0])
			      : json_pack("{s:s}", "op", "explain");
	if ((code = ask_daemon("explain", &cli, request, &reply)) != EXIT_FINE)
		return code;
	attention = cli.n_words && needs_attention(reply, &cli);
	json_array_foreach(json_object_get(reply, "hpas"), i, one) attention = attention || needs_attention(one, &cli);
	if (cli.json)
		print_json(reply);
	else if (cli.n_words)
		print_one(reply, &cli);
	else
		print_all(reply, &cli);
	json_decref(reply);
	if (fflush(stdout) != 0)
		return EXIT_UNREACHED;
	return attention ? EXIT_ATTENTION : EXIT_FINE;
}
