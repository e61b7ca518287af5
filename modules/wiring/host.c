/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host is. Three sources, in this order: the INI, the running kube-apiserver's flags, the documented layout
 * (spec certs-and-wiring 6, 9.1).
 */
#include "wiring/host.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ADDRESSES_MAX 32

void wiring_host_free(struct wiring_host *h)
{
	if (!h)
		return;
	wiring_flags_free(h->apiserver);
	for (size_t i = 0; i < h->n_addresses; i++)
		free(h->addresses[i]);
	free(h->addresses);
	free(h->server);
	free(h->node_name);
	free(h->address);
	free(h->cluster_ca_cert);
	free(h->cluster_ca_key);
	free(h->front_proxy_ca_cert);
	free(h->front_proxy_ca_key);
	free(h->front_proxy_client_cert);
	free(h->front_proxy_client_key);
	free(h->front_proxy_client_cn);
	free(h->serving_ca_cert);
	free(h->serving_ca_key);
	free(h);
}

void wiring_host_freep(struct wiring_host **h)
{
	wiring_host_free(*h);
	*h = NULL;
}

static bool given(const char *s)
{
	return s && *s;
}

/* An address that other hosts can use: Endpoints refuse loopback, link-local, unspecified and multicast (spec 4.1). */
static bool is_global(const char *text)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		uint32_t a = ntohl(v4.s_addr);
		return a != 0 && a >> 24 != 127 && a >> 16 != 0xa9fe && a >> 28 != 0xe && a != UINT32_MAX;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1)
		return !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6) &&
		       !IN6_IS_ADDR_MULTICAST(&v6);
	return false;
}

/* The source address this host would use for the rest of the world: connecting a datagram socket sends nothing. */
static char *default_route_address(void)
{
	static const struct {
		int family;
		const char *probe;
	} ways[] = {{AF_INET, "192.0.2.1"}, {AF_INET6, "2001:db8::1"}}; /* documentation addresses (RFC 5737, 3849) */

	for (size_t i = 0; i < KM_ARRAY_LEN(ways); i++) {
		struct sockaddr_storage to = {0}, from;
		socklen_t to_len, from_len = sizeof(from);
		char text[INET6_ADDRSTRLEN];
		int fd = socket(ways[i].family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		bool ok;

		if (fd < 0)
			continue;
		if (ways[i].family == AF_INET) {
			struct sockaddr_in *sin = (struct sockaddr_in *)&to;
			sin->sin_family = AF_INET;
			sin->sin_port = htons(53);
			inet_pton(AF_INET, ways[i].probe, &sin->sin_addr);
			to_len = sizeof(*sin);
		} else {
			struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&to;
			sin6->sin6_family = AF_INET6;
			sin6->sin6_port = htons(53);
			inet_pton(AF_INET6, ways[i].probe, &sin6->sin6_addr);
			to_len = sizeof(*sin6);
		}
		ok = connect(fd, (struct sockaddr *)&to, to_len) == 0 &&
		     getsockname(fd, (struct sockaddr *)&from, &from_len) == 0;
		close(fd);
		if (!ok)
			continue;
		if (from.ss_family == AF_INET)
			inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, text, sizeof(text));
		else
			inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, text, sizeof(text));
		if (is_global(text))
			return strdup(text);
	}
	return NULL;
}

static int add_address(struct wiring_host *h, const char *text)
{
	if (!given(text) || h->n_addresses == ADDRESSES_MAX)
		return 0;
	for (size_t i = 0; i < h->n_addresses; i++)
		if (strcmp(h->addresses[i], text) == 0)
			return 0;
	h->addresses[h->n_addresses] = strdup(text);
	if (!h->addresses[h->n_addresses])
		return -ENOMEM;
	h->n_addresses++;
	return 0;
}

static int find_addresses(struct wiring_host *h)
{
	struct ifaddrs *all = NULL;
	int r = 0;

	h->addresses = calloc(ADDRESSES_MAX, sizeof(*h->addresses));
	if (!h->addresses)
		return -ENOMEM;
	r = add_address(h, h->address);
	if (r < 0 || getifaddrs(&all) < 0)
		return r; /* without the list there is still the main one */
	for (struct ifaddrs *i = all; i && r == 0; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN];

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, text, sizeof(text));
		else if (i->ifa_addr->sa_family == AF_INET6)
			inet_ntop(
				AF_INET6, &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr, text, sizeof(text));
		else
			continue;
		if (is_global(text))
			r = add_address(h, text);
	}
	freeifaddrs(all);
	return r;
}

/* "x.pem" -> "x-key.pem", "x.crt" -> "x.key": the two customs of the layouts in spec 6. */
static char *key_beside(const char *cert)
{
	size_t len = strlen(cert);
	char *key = NULL;

	if (len > 4 && strcmp(cert + len - 4, ".crt") == 0) {
		if (asprintf(&key, "%.*s.key", (int)(len - 4), cert) < 0)
			return NULL;
	} else {
		size_t stem = len > 4 && strcmp(cert + len - 4, ".pem") == 0 ? len - 4 : len;
		if (asprintf(&key, "%.*s-key.pem", (int)stem, cert) < 0)
			return NULL;
	}
	return key;
}

/* The INI's value, else the flag's path, else ssl-dir/name. */
static int pick_path(char **out, const char *ini, const struct wiring_flags *flags, const char *flag,
	const char *ssl_dir, const char *name)
{
	if (given(ini))
		*out = strdup(ini);
	else if (flags && flag && (*out = wiring_flag_path(flags, flag)))
		return 0;
	else if (asprintf(out, "%s/%s", ssl_dir, name) < 0)
		*out = NULL;
	return *out ? 0 : -ENOMEM;
}

static int find_server(const struct wiring_host_hints *hints, struct wiring_host *h)
{
	const char *bind = h->apiserver ? wiring_flag(h->apiserver, "bind-address") : NULL;
	const char *port = h->apiserver ? wiring_flag(h->apiserver, "secure-port") : NULL;
	const char *host = "127.0.0.1";
	int r;

	if (given(hints->server)) {
		h->server = strdup(hints->server);
		return h->server ? 0 : -ENOMEM;
	}
	/* Bound to one address, it does not answer on loopback. */
	if (given(bind) && strcmp(bind, "0.0.0.0") != 0 && strcmp(bind, "::") != 0)
		host = bind;
	r = asprintf(
		&h->server, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, given(port) ? port : "6443");
	if (r < 0)
		h->server = NULL;
	return r < 0 ? -ENOMEM : 0;
}

static int find_address(const struct wiring_host_hints *hints, struct wiring_host *h)
{
	const char *candidates[] = {
		hints->advertise_address,
		h->apiserver ? wiring_flag(h->apiserver, "advertise-address") : NULL,
		h->apiserver ? wiring_flag(h->apiserver, "bind-address") : NULL,
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(candidates) && !h->address; i++)
		if (given(candidates[i]) && is_global(candidates[i]) && !(h->address = strdup(candidates[i])))
			return -ENOMEM;
	if (!h->address)
		h->address = default_route_address();
	if (!h->address && !(h->address = strdup("")))
		return -ENOMEM;
	return 0;
}

static int find_node_name(const struct wiring_host_hints *hints, struct wiring_host *h)
{
	char name[256] = "";

	if (given(hints->node_name)) {
		h->node_name = strdup(hints->node_name);
	} else {
		gethostname(name, sizeof(name) - 1);
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		h->node_name = strdup(*name ? name : "localhost");
	}
	return h->node_name ? 0 : -ENOMEM;
}

static int find_files(const struct wiring_host_hints *hints, struct wiring_host *h)
{
	const char *dir = hints->ssl_dir;
	int r;

	if ((r = pick_path(
		     &h->cluster_ca_cert, hints->cluster_ca_cert, h->apiserver, "client-ca-file", dir, "ca.pem")) < 0 ||
		(r = pick_path(&h->front_proxy_ca_cert, NULL, h->apiserver, "requestheader-client-ca-file", dir,
			 "front-proxy-ca.pem")) < 0 ||
		(r = pick_path(&h->front_proxy_client_cert, NULL, h->apiserver, "proxy-client-cert-file", dir,
			 "front-proxy-client.pem")) < 0 ||
		(r = pick_path(&h->front_proxy_client_key, NULL, h->apiserver, "proxy-client-key-file", dir,
			 "front-proxy-client-key.pem")) < 0 ||
		(r = pick_path(&h->serving_ca_cert, NULL, NULL, NULL, dir, "kmetricsd-ca.pem")) < 0 ||
		(r = pick_path(&h->serving_ca_key, NULL, NULL, NULL, dir, "kmetricsd-ca-key.pem")) < 0)
		return r;
	h->front_proxy_ca_key = key_beside(h->front_proxy_ca_cert);
	h->cluster_ca_key =
		given(hints->cluster_ca_key) ? strdup(hints->cluster_ca_key) : key_beside(h->cluster_ca_cert);
	if (given(hints->front_proxy_client_cn))
		h->front_proxy_client_cn = strdup(hints->front_proxy_client_cn);
	else if (h->apiserver)
		h->front_proxy_client_cn = wiring_flag_first(h->apiserver, "requestheader-allowed-names");
	if (!h->front_proxy_client_cn)
		h->front_proxy_client_cn = strdup("front-proxy-client");
	return h->front_proxy_ca_key && h->cluster_ca_key && h->front_proxy_client_cn ? 0 : -ENOMEM;
}

int wiring_host_find(const struct wiring_host_hints *hints, struct wiring_host **ret, struct km_err *err)
{
	_cleanup_(wiring_host_freep) struct wiring_host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return km_fail(err, -ENOMEM, "out of memory");
	r = wiring_flags_find(
		given(hints->proc) ? hints->proc : "/proc", "kube-apiserver", hints->any_network, &h->apiserver, NULL);
	if (r == -ENOMEM)
		return km_fail(err, r, "out of memory"); /* anything else: it does not run here, which is fine */
	if ((r = find_server(hints, h)) < 0 || (r = find_address(hints, h)) < 0 || (r = find_addresses(h)) < 0 ||
		(r = find_node_name(hints, h)) < 0 || (r = find_files(hints, h)) < 0)
		return km_fail(err, r, "looking at this host: %s", strerror(-r));
	*ret = KM_TAKE(h);
	return 0;
}
