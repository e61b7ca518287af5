/* SPDX-License-Identifier: Apache-2.0 */
/* Flags to options; see the header. Most keys of the INI are the flags' own names, so that the tables hold exceptions.
 */
#include "from_flags.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/options.h"
#include "certmanager/certmanager.h"
#include "hpa/options.h"
#include "sections.h"

#define VALUES_MAX 256

/* The two programs' flags mean different things by the same name: kube-controller-manager's secure-port is its own. */
enum program { METRICS_SERVER, CONTROLLER_MANAGER };

struct setting {
	const struct km_section *section;
	const char *key;
	struct km_buf value;
};

struct flags {
	enum program program;
	struct setting settings[VALUES_MAX];
	size_t n;
	struct km_buf comments;
	bool unknown;
};

/* What is left out, and why. A name that ends in * stands for all that begin so. */
struct left_out {
	const char *name, *why;
	bool boolean; /* takes no separate value */
};

static const char is_no_op[] = "it has no effect in metrics-server either";
static const char one_access[] = "[kubernetes] kubeconfig serves for everything";
static const char our_logs[] = "the journal has the log; how much, says log-level in [daemon]";
static const char http1[] = "HTTP/1.1 is spoken, with one serving certificate";
static const char no_audit[] = "kube-apiserver's own audit log has every request that comes through it";
static const char own_server[] = "it is about kube-controller-manager's own server or its other controllers";

#define VALUE(flag, because)                     \
	{                                        \
		.name = (flag), .why = (because) \
	}
#define SWITCH(flag, because)                                     \
	{                                                         \
		.name = (flag), .why = (because), .boolean = true \
	}
#define END                  \
	{                    \
		.name = NULL \
	}

static const struct left_out of_metrics_server[] = {
	VALUE("cert-dir", "the serving certificate is made and renewed by [cert-manager], in state-dir"),
	VALUE("authentication-kubeconfig", one_access),
	VALUE("authorization-kubeconfig", one_access),
	SWITCH("authentication-tolerate-lookup-failure", "it is always so: the ConfigMap is watched"),
	VALUE("tls-sni-cert-key", http1),
	VALUE("tls-curve-preferences", "OpenSSL's choice is used"),
	SWITCH("disable-http2-serving", http1),
	VALUE("http2-max-streams-per-connection", http1),
	SWITCH("permit-port-sharing", "one daemon has the port"),
	SWITCH("permit-address-sharing", "one daemon has the address"),
	VALUE("max-mutating-requests-inflight", "nothing can be changed through this API"),
	VALUE("request-timeout", "a reply that is not taken for 30s is ended"),
	VALUE("min-request-timeout", "nothing can be watched"),
	VALUE("shutdown-delay-duration", "what has begun is answered before the end"),
	SWITCH("shutdown-send-retry-after", "what has begun is answered before the end"),
	VALUE("livez-grace-period", "health is told as it is"),
	VALUE("goaway-chance", http1),
	VALUE("cors-allowed-origins", "browsers are no clients of it"),
	VALUE("strict-transport-security-directives", "browsers are no clients of it"),
	VALUE("external-hostname", "it is told nowhere"),
	VALUE("advertise-address", "advertise-address of [kubernetes] is another thing: the address in the Endpoints"),
	VALUE("storage-initialization-timeout", "there is no storage to wait for"),
	VALUE("emulat*", "there is one version"),
	VALUE("min-compatibility-version", "there is one version"),
	VALUE("feature-gates", "there are none of metrics-server's here"),
	VALUE("audit-*", no_audit),
	SWITCH("profiling", is_no_op),
	SWITCH("contention-profiling", is_no_op),
	VALUE("debug-socket-path", is_no_op),
	SWITCH("enable-priority-and-fairness", is_no_op),
	END,
};

static const struct left_out of_controller_manager[] = {
	VALUE("horizontal-pod-autoscaler-upscale-delay", "it has had no effect since Kubernetes 1.12"),
	VALUE("horizontal-pod-autoscaler-downscale-delay", "it has had no effect since Kubernetes 1.12"),
	SWITCH("horizontal-pod-autoscaler-use-rest-clients", "Heapster is not asked"),
	VALUE("concurrent-horizontal-pod-autoscaler-syncs", "all HPAs go side by side"),
	VALUE("kube-api-qps", "requests are sent as they are needed"),
	VALUE("kube-api-burst", "requests are sent as they are needed"),
	SWITCH("leader-elect", "the Lease kmetricsd-hpa is always held"),
	VALUE("leader-elect-*", "the Lease kmetricsd-hpa has kube-controller-manager's default times"),
	VALUE("controllers", "with mode = auto kmetricsd scales once kube-controller-manager has "
			     "*,-horizontal-pod-autoscaler-controller "
			     "there (before Kubernetes 1.27: *,-horizontalpodautoscaling)"),
	SWITCH("allocate-node-cidrs", own_server),
	SWITCH("use-service-account-credentials", own_server),
	SWITCH("configure-cloud-routes", own_server),
	SWITCH("authentication-skip-lookup", own_server),
	SWITCH("authentication-tolerate-lookup-failure", own_server),
	SWITCH("profiling", own_server),
	SWITCH("contention-profiling", own_server),
	END,
};

static const struct left_out of_both[] = {
	VALUE("v", our_logs),
	VALUE("vmodule", our_logs),
	VALUE("log-*", our_logs),
	VALUE("logging-format", our_logs),
	SWITCH("logtostderr", our_logs),
	SWITCH("alsologtostderr", our_logs),
	VALUE("stderrthreshold", our_logs),
	SWITCH("add-dir-header", our_logs),
	SWITCH("skip-headers", our_logs),
	SWITCH("skip-log-headers", our_logs),
	SWITCH("one-output", our_logs),
	SWITCH("add_dir_header", our_logs),
	SWITCH("version", "see kmetricsd --version"),
	SWITCH("help", "see kmetricsd --help"),
	END,
};

/* What else only kube-controller-manager has; a metrics-server with them would not start. */
static const char *const only_controller_manager[] = {"horizontal-pod-autoscaler-", "controllers", "leader-elect",
	"cluster-cidr", "service-cluster-ip-range", "service-account-private-key-file", "cluster-signing-",
	"root-ca-file", "node-monitor-", "allocate-node-cidrs", "use-service-account-credentials", "master"};

/* ---- finding ---- */

static bool is_named(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	return pattern[n - 1] == '*' ? strncmp(pattern, name, n - 1) == 0 : strcmp(pattern, name) == 0;
}

static const struct left_out *find_left_out(const struct left_out *list, const char *name)
{
	for (; list->name; list++)
		if (is_named(list->name, name))
			return list;
	return NULL;
}

static const struct left_out *left_out_of(const struct flags *f, const char *name)
{
	const struct left_out *found =
		find_left_out(f->program == METRICS_SERVER ? of_metrics_server : of_controller_manager, name);

	return found ? found : find_left_out(of_both, name);
}

static const struct km_opt *row_of(const struct km_section *section, const char *key)
{
	for (size_t i = 0; i < section->n_opts; i++)
		if (strcmp(section->opts[i].key, key) == 0)
			return &section->opts[i];
	return NULL;
}

/* The option that a flag means; NULL: none. */
static const struct km_opt *option_of(const struct flags *f, const char *name, const struct km_section **ret_section)
{
	if (strcmp(name, "kubeconfig") == 0 || strcmp(name, "master") == 0) {
		*ret_section = &kubernetes_section;
		return row_of(*ret_section, strcmp(name, "master") == 0 ? "server" : name);
	}
	if (f->program == METRICS_SERVER) {
		*ret_section = &agg_section;
		return row_of(*ret_section, strcmp(name, "l") == 0 ? "node-selector" : name);
	}
	*ret_section = &hpa_section;
	return strncmp(name, "horizontal-pod-autoscaler-", 26) == 0 ? row_of(*ret_section, name) : NULL;
}

/* ---- collecting ---- */

static int set(struct flags *f, const struct km_section *section, const struct km_opt *row, const char *value)
{
	struct setting *s = NULL;

	for (size_t i = 0; i < f->n && !s; i++)
		if (f->settings[i].section == section && strcmp(f->settings[i].key, row->key) == 0)
			s = &f->settings[i];
	if (!s && f->n == VALUES_MAX)
		return -EMSGSIZE;
	if (!s) {
		s = &f->settings[f->n++];
		*s = (struct setting){.section = section, .key = row->key, .value = KM_BUF_INIT(64 * 1024)};
	} else if (row->type == KM_OPT_LIST) {
		km_buf_addc(&s->value, ',');
	} else {
		km_buf_reset(&s->value); /* given twice: the later one, as the programs themselves have it */
	}
	km_buf_adds(&s->value, value);
	return s->value.error;
}

static void leave_out(struct flags *f, const char *name, const char *value, const char *why)
{
	char shown[80];

	/* a value may be anything; a comment is one line */
	snprintf(shown, sizeof(shown), "%s", value ? value : "");
	for (char *p = shown; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	km_buf_addf(
		&f->comments, "# %s%s%s%s: %s\n", strlen(name) == 1 ? "-" : "--", name, *shown ? "=" : "", shown, why);
}

/* kube-controller-manager's feature gates: one of them is an option here. */
static int take_gates(struct flags *f, const char *value)
{
	const char *gate = strstr(value, "HPAScaleToZero=");

	leave_out(f, "feature-gates", value, gate ? "of these, HPAScaleToZero is hpa-scale-to-zero" : own_server);
	return gate ? set(f, &hpa_section, row_of(&hpa_section, "hpa-scale-to-zero"),
			      strncmp(gate + 15, "true", 4) == 0 ? "yes" : "no")
		    : 0;
}

static int take(struct flags *f, const char *name, const char *value)
{
	const struct left_out *out = left_out_of(f, name);
	const struct km_section *section;
	const struct km_opt *row = out ? NULL : option_of(f, name, &section);

	if (f->program == CONTROLLER_MANAGER && strcmp(name, "feature-gates") == 0)
		return take_gates(f, value ? value : "");
	if (row && strcmp(name, "secure-port") == 0 && (strcmp(value, "10250") == 0 || strcmp(value, "0") == 0)) {
		leave_out(f, name, value, "on a host 10250 is the kubelet's; 4443 is used");
	} else if (row) {
		return set(f, section, row, value);
	} else if (out) {
		leave_out(f, name, value, out->why);
	} else if (f->program == CONTROLLER_MANAGER) {
		leave_out(f, name, value, own_server);
	} else {
		f->unknown = true;
		leave_out(f, name, value, "metrics-server is not known to have this flag");
	}
	return 0;
}

static bool takes_no_value(const struct flags *f, const char *name)
{
	const struct left_out *out = left_out_of(f, name);
	const struct km_section *section;
	const struct km_opt *row = option_of(f, name, &section);

	return out ? out->boolean : row && row->type == KM_OPT_BOOL;
}

static int complain(struct km_buf *complaints, const char *what, const char *word)
{
	km_buf_addf(complaints, "%s: %s\n", word, what);
	return -EINVAL;
}

/* The flag at words[*i], and its value, which may be the next word. */
static int take_flag(struct flags *f, char *const *words, size_t n, size_t *i, struct km_buf *complaints)
{
	const char *word = words[*i], *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
	char name[128];

	word += strspn(word, "-");
	if (snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - word) : (int)strlen(word), word) >=
			(int)sizeof(name) ||
		!*name || equals == word)
		return complain(complaints, "not a flag; write --NAME=VALUE", words[*i]);
	if (!value && takes_no_value(f, name))
		value = left_out_of(f, name) ? "" : "yes";
	else if (!value && *i + 1 < n && words[*i + 1][0] != '-')
		value = words[++*i];
	if (!value && !left_out_of(f, name) && row_of(&agg_section, name))
		return complain(complaints, "its value is missing; write --NAME=VALUE", words[*i]);
	return take(f, name, value ? value : "");
}

static enum program program_of(char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *word = words[i] + strspn(words[i], "-");

		if (i == 0 && words[i][0] != '-')
			return strstr(words[i], "controller-manager") ? CONTROLLER_MANAGER : METRICS_SERVER;
		for (size_t k = 0; words[i][0] == '-' && k < KM_ARRAY_LEN(only_controller_manager); k++)
			if (strncmp(word, only_controller_manager[k], strlen(only_controller_manager[k])) == 0)
				return CONTROLLER_MANAGER;
	}
	return METRICS_SERVER;
}

/* ---- printing ---- */

/* Whether the section is printed though the flags set nothing in it. */
static bool is_wanted(const struct flags *f, const struct km_section *section)
{
	if (section == &agg_section)
		return f->program == METRICS_SERVER;
	if (section == &hpa_section)
		return f->program == CONTROLLER_MANAGER;
	return section == &certmanager_section;
}

static void print_section(const struct flags *f, const struct km_section *section, struct km_buf *ini)
{
	bool wanted = is_wanted(f, section);

	for (size_t i = 0; i < f->n; i++)
		wanted = wanted || f->settings[i].section == section;
	if (!wanted)
		return;
	km_buf_addf(ini, "%s[%s]\n", ini->len ? "\n" : "", section->name);
	for (size_t i = 0; i < f->n; i++) {
		if (f->settings[i].section != section)
			continue;
		km_buf_addf(ini, "%s = ", f->settings[i].key);
		km_ini_print_value(f->settings[i].value.data ? f->settings[i].value.data : "", ini);
		km_buf_addc(ini, '\n');
	}
}

static void print(const struct flags *f, struct km_buf *ini)
{
	for (size_t i = 0; all_sections[i]; i++)
		print_section(f, all_sections[i], ini);
	if (f->comments.len > 0)
		km_buf_addf(ini, "\n# Not taken over:\n%s", f->comments.data);
}

/* What the daemon itself would say of it. */
static int check(const struct km_buf *ini, struct km_buf *complaints)
{
	_cleanup_(km_config_unrefp) struct km_config *config = NULL;
	_cleanup_(km_diag_free) struct km_diag diag = KM_DIAG_INIT("(these flags as an INI)");
	int r = km_config_parse(all_sections, diag.file, ini->data, ini->len, &config, &diag);

	if (r == -EINVAL)
		km_buf_adds(complaints, diag.text.data);
	return r;
}

int from_flags(char *const *words, size_t n, struct km_buf *ini, struct km_buf *complaints)
{
	struct flags *f = calloc(1, sizeof(*f));
	int r = 0;

	if (!f)
		return -ENOMEM;
	f->program = program_of(words, n);
	f->comments = KM_BUF_INIT(1 << 20);
	for (size_t i = 0; i < n && r == 0; i++)
		if (i > 0 || words[i][0] == '-')
			r = take_flag(f, words, n, &i, complaints);
	if (r == 0)
		print(f, ini);
	if (r == 0 && (ini->error || f->comments.error))
		r = -ENOMEM;
	if (r == 0)
		r = check(ini, complaints);
	if (r == 0)
		r = f->unknown;
	for (size_t i = 0; i < f->n; i++)
		km_buf_free(&f->settings[i].value);
	km_buf_free(&f->comments);
	free(f);
	return r;
}
