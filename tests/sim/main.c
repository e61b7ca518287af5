/* SPDX-License-Identifier: Apache-2.0 */
/* kmsim: options, what it writes for the daemon, and the loop. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/sim/store.h"

#define TICK_MS         50
#define DEPLOYMENTS_MAX 256 /* on the command line */
#define FAULTS_MAX      64
#define WORDS_MAX       16

static const char help[] =
	"Usage: kmsim [--nodes N] [--pods-per-node N] [--containers N] [--deployment NAMESPACE/NAME[:...]]...\n"
	"             [--ready-delay SECONDS] [--port N] [--kubelet-port N] [--autoscaling v2,v1] "
	"[--fault FAULT]... [--allow USER,...]\n"
	"             [--summary-only] [--swap] [--recorded] [--out DIR]\n\n"
	"A simulated cluster on loopback: N kubelets, each on an address of its own (127.16.0.1 ...), and an API "
	"server.\n\n"
	"  --deployment  NAMESPACE/NAME:replicas=N,request=Q,limit=Q,load=SECONDS:MILLI,SECONDS:MILLI...\n"
	"                its ready pods share the load; scaled through its scale subresource\n"
	"  --fault       " SIM_FAULTS_OF_KUBELETS ", or\n"
	"                " SIM_FAULTS_OF_API "; may be given several times\n"
	"  --allow       whom SubjectAccessReviews allow everything (default: everybody)\n"
	"  --swap        kubelets tell what is swapped out, as from 1.28 on\n"
	"  --recorded    names as in tests/data/golden (with --nodes 3 --pods-per-node 2)\n"
	"  --out DIR     writes ca.pem, client and front-proxy certificates with keys, and a kubeconfig there\n"
	"  --port 0      any (default); the line \"kmsim ready: ...\" on stdout tells which\n\n"
	"/sim/stats, /sim/load and /sim/faults on the API server's port look and turn while it runs.\n\n"
	"Example:\n"
	"  kmsim --nodes 5 --deployment shop/web:replicas=1,request=100m,load=0:50,10:400,30:20 --out /tmp/sim\n";

struct options {
	size_t nodes, pods_per_node, containers;
	double ready_delay;
	const char *faults[FAULTS_MAX];
	size_t n_faults;
	const char *deployments[DEPLOYMENTS_MAX];
	size_t n_deployments;
	const char *autoscaling[WORDS_MAX], *allowed[WORDS_MAX];
};

static void write_file(const struct sim *sim, const char *name, const char *text)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", sim->out, name);
	if (!(f = fopen(path, "w")) || fputs(text, f) < 0 || fclose(f) != 0) {
		fprintf(stderr, "kmsim: %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void write_pair(const struct sim *sim, const char *cert_name, const char *key_name, const struct test_cert *cert)
{
	_cleanup_free_ char *pem = test_cert_pem(cert->cert), *key = test_key_pem(cert->key);

	write_file(sim, cert_name, pem);
	if (key_name)
		write_file(sim, key_name, key);
}

static void write_out(const struct sim *sim)
{
	char text[2048];

	umask(0077);
	if (mkdir(sim->out, 0700) < 0 && errno != EEXIST) {
		fprintf(stderr, "kmsim: %s: %s\n", sim->out, strerror(errno));
		exit(1);
	}
	write_pair(sim, "ca.pem", NULL, &sim->ca);
	write_pair(sim, "client.pem", "client-key.pem", &sim->client);
	write_pair(sim, "front-proxy-ca.pem", NULL, &sim->front_proxy_ca);
	write_pair(sim, "front-proxy-client.pem", "front-proxy-client-key.pem", &sim->front_proxy_client);
	snprintf(text, sizeof(text),
		"apiVersion: v1\nkind: Config\ncurrent-context: sim\ncontexts:\n- name: sim\n  context: {cluster: sim, "
		"user: sim}\n"
		"clusters:\n- name: sim\n  cluster: {server: \"https://127.0.0.1:%u\", certificate-authority: "
		"%s/ca.pem}\n"
		"users:\n- name: sim\n  user: {client-certificate: %s/client.pem, client-key: %s/client-key.pem}\n",
		sim->api_port, sim->out, sim->out, sim->out);
	write_file(sim, "kubeconfig", text);
}

static void make_certificates(struct sim *sim)
{
	test_cert_make(&(struct test_cert_spec){.cn = "kmsim", .ca = true}, &sim->ca);
	test_cert_make(&(struct test_cert_spec){.cn = "front-proxy-ca", .ca = true}, &sim->front_proxy_ca);
	test_cert_make(
		&(struct test_cert_spec){.cn = "kmetricsd", .o = "kmetricsd", .eku = "clientAuth", .issuer = &sim->ca},
		&sim->client);
	test_cert_make(
		&(struct test_cert_spec){
			.cn = "front-proxy-client", .eku = "clientAuth", .issuer = &sim->front_proxy_ca},
		&sim->front_proxy_client);
}

/* What clusters have, and somebody looks for. */
static void make_objects(struct sim *sim)
{
	const struct sim_resource *namespaces = sim_resource_find("", "namespaces");
	_cleanup_free_ char *ca = test_cert_pem(sim->ca.cert), *front = test_cert_pem(sim->front_proxy_ca.cert);

	sim_store_put(sim, namespaces, "", "default", json_object());
	sim_store_put(sim, namespaces, "", "kube-system", json_object());
	sim_store_put(sim, sim_resource_find("", "configmaps"), "kube-system", "extension-apiserver-authentication",
		json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "data", "client-ca-file", ca,
			"requestheader-client-ca-file", front, "requestheader-allowed-names",
			"[\"front-proxy-client\"]", "requestheader-username-headers", "[\"X-Remote-User\"]",
			"requestheader-group-headers", "[\"X-Remote-Group\"]", "requestheader-extra-headers-prefix",
			"[\"X-Remote-Extra-\"]"));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct sim *sim = arg;
	int64_t now_ns = sim_now_ns();

	sim_world_tick(&sim->world, now_ns);
	sim_watch_tick(sim, now_ns);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	event_base_loopbreak(arg);
}

static size_t number(const char *text, const char *option, size_t max)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (!*text || *end || n > max) {
		fprintf(stderr, "kmsim: --%s %s: must be a number up to %zu\n", option, text, max);
		exit(2);
	}
	return (size_t)n;
}

/* "v2,v1" into a NULL-terminated list; words stay in the text */
static const char *const *words(char *text, const char *list[WORDS_MAX])
{
	size_t n = 0;
	char *save = NULL;

	for (char *v = strtok_r(text, ",", &save); v && n < WORDS_MAX - 1; v = strtok_r(NULL, ",", &save))
		list[n++] = v;
	list[n] = NULL;
	return list;
}

static void parse(int argc, char **argv, struct sim *sim, struct options *o)
{
	static const struct option longs[] = {{"nodes", 1, NULL, 'n'}, {"pods-per-node", 1, NULL, 'p'},
		{"containers", 1, NULL, 'c'}, {"deployment", 1, NULL, 'd'}, {"ready-delay", 1, NULL, 'r'},
		{"port", 1, NULL, 'P'}, {"kubelet-port", 1, NULL, 'K'}, {"autoscaling", 1, NULL, 'a'},
		{"fault", 1, NULL, 'f'}, {"allow", 1, NULL, 'A'}, {"summary-only", 0, NULL, 's'},
		{"swap", 0, NULL, 'w'}, {"recorded", 0, NULL, 'R'}, {"out", 1, NULL, 'o'}, {"help", 0, NULL, 'h'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			o->nodes = number(optarg, "nodes", SIM_NODES_MAX);
			break;
		case 'p':
			o->pods_per_node = number(optarg, "pods-per-node", 1000);
			break;
		case 'c':
			o->containers = number(optarg, "containers", 16);
			break;
		case 'd':
			if (o->n_deployments < DEPLOYMENTS_MAX)
				o->deployments[o->n_deployments++] = optarg;
			break;
		case 'f':
			if (o->n_faults < FAULTS_MAX)
				o->faults[o->n_faults++] = optarg;
			break;
		case 'r':
			o->ready_delay = atof(optarg);
			break;
		case 'P':
			sim->api_port = (uint16_t)number(optarg, "port", 65535);
			break;
		case 'K':
			sim->kubelet_port = (uint16_t)number(optarg, "kubelet-port", 65535);
			break;
		case 'a':
			sim->autoscaling = words(optarg, o->autoscaling);
			break;
		case 'A':
			sim->allowed = words(optarg, o->allowed);
			break;
		case 's':
			sim->summary_only = true;
			break;
		case 'w':
			sim->swap = true;
			break;
		case 'R':
			sim->world.recorded = true;
			break;
		case 'o':
			sim->out = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			fputs(help, stderr);
			exit(2);
		}
	}
	if (o->nodes == 0 || o->containers == 0 || optind != argc || !sim->autoscaling[0]) {
		fputs(help, stderr);
		exit(2);
	}
}

static void free_all(struct sim *sim)
{
	sim_store_free(sim);
	evhttp_free(sim->api);
	evhttp_free(sim->kubelets);
	SSL_CTX_free(sim->api_server.tls);
	SSL_CTX_free(sim->kubelet_server.tls);
	for (size_t i = 0; i < sim->world.n_nodes; i++)
		test_cert_free(&sim->node_certs[i]);
	free(sim->node_certs);
	free(sim->kubelet_faults);
	free(sim->backwards_ns);
	sim_world_free(&sim->world);
	test_cert_free(&sim->ca);
	test_cert_free(&sim->front_proxy_ca);
	test_cert_free(&sim->client);
	test_cert_free(&sim->front_proxy_client);
	test_cert_free(&sim->api_cert);
	event_base_free(sim->base);
}

int main(int argc, char **argv)
{
	static const char *const autoscaling[] = {"v2", "v1", NULL};
	struct sim sim = {.autoscaling = autoscaling, .out = NULL};
	struct options o = {.nodes = 5, .pods_per_node = 10, .containers = 2, .ready_delay = 1};
	struct rlimit files = {0};
	struct event *tick, *term, *interrupt;

	parse(argc, argv, &sim, &o);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that dies takes us with it */
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	NEED(sim.base = event_base_new());
	sim_store_init(&sim);
	sim_world_init(&sim.world, o.nodes, o.pods_per_node, o.containers, sim_now_ns());
	sim.world.ready_delay_ns = (int64_t)(o.ready_delay * 1e9);
	make_certificates(&sim);
	sim_kubelets_start(&sim);
	sim_api_start(&sim);
	make_objects(&sim);
	for (size_t i = 0; i < o.n_deployments; i++)
		if (sim_deployment_add(&sim.world, o.deployments[i], sim_now_ns()) < 0)
			return 2;
	for (size_t i = 0; i < o.n_faults; i++)
		if (!sim_fault(&sim, o.faults[i])) {
			fprintf(stderr, "kmsim: --fault %s: must be %s (nodes from 0 to %zu), or %s\n", o.faults[i],
				SIM_FAULTS_OF_KUBELETS, o.nodes - 1, SIM_FAULTS_OF_API);
			return 2;
		}
	if (sim.out)
		write_out(&sim);
	NEED(tick = event_new(sim.base, -1, EV_PERSIST, on_tick, &sim));
	event_add(tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
	NEED(term = evsignal_new(sim.base, SIGTERM, on_signal, sim.base));
	NEED(interrupt = evsignal_new(sim.base, SIGINT, on_signal, sim.base));
	event_add(term, NULL);
	event_add(interrupt, NULL);
	printf("kmsim ready: https://127.0.0.1:%u, %zu nodes on port %u, %zu pods\n", sim.api_port, sim.world.n_nodes,
		sim.kubelet_port, sim.world.pods.count);
	fflush(stdout);
	event_base_dispatch(sim.base);
	event_free(tick);
	event_free(term);
	event_free(interrupt);
	free_all(&sim);
	return 0;
}
