/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and letting go of settings; see the header. */
#include "aggregator/settings.h"

#include <errno.h>

void agg_settings_free(struct agg_settings *s)
{
	if (!s)
		return;
	kube_selector_free(s->node_selector);
	km_identity_unref(s->serving);
	km_identity_unref(s->client);
	km_x509_stack_free(s->kubelet_roots);
	agg_trust_unref(s->trust);
	km_config_unref(s->config);
	free(s);
}

void agg_settings_freep(struct agg_settings **s)
{
	agg_settings_free(*s);
	*s = NULL;
}

int agg_settings_load(const struct kube_cluster *cluster, const struct km_config *config, struct agg_settings **ret,
	struct km_err *err)
{
	_cleanup_(agg_settings_freep) struct agg_settings *s = calloc(1, sizeof(*s));
	const struct agg_options *o = km_config_section(config, &agg_section);
	int r = 0;

	if (!s)
		return km_fail(err, -ENOMEM, "out of memory");
	s->config = km_config_ref(config);
	s->options = o;
	if (*o->node_selector)
		r = kube_selector_parse(o->node_selector, &s->node_selector, err);
	if (r == 0 && *o->tls_cert_file)
		r = km_identity_load(o->tls_cert_file, o->tls_private_key_file, &s->serving, err);
	if (r == 0 && *o->kubelet_client_certificate)
		r = km_identity_load(o->kubelet_client_certificate, o->kubelet_client_key, &s->client, err);
	if (r == 0 && *o->kubelet_certificate_authority)
		r = km_x509_load(o->kubelet_certificate_authority, &s->kubelet_roots, err);
	if (r == 0)
		r = agg_trust_new(o, kube_cluster_auth(cluster), &s->trust, err);
	if (r < 0)
		return r;
	*ret = KM_TAKE(s);
	return 0;
}
