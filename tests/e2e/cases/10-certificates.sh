# SPDX-License-Identifier: Apache-2.0
# The certificates that the keeper and the daemon made carry a real kube-apiserver; a second run changes nothing; `certs list` agrees with openssl.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
ssl=$LAB/opt/kubernetes/ssl

wait_for 30 "the daemon has its own certificates" test -s "$LAB/kmetricsd/state/kmetricsd-serving.pem" -a -s "$LAB/kmetricsd/state/kmetricsd.pem"

before=$(sha256sum "$ssl"/front-proxy-* "$ssl"/kmetricsd-ca*)
kmetricsd keeper --once --config "$ini" | tee "$LAB/keeper.out"
[ "$(grep -c adopted "$LAB/keeper.out")" = 3 ] || fail "the second run did not adopt all three"
[ "$before" = "$(sha256sum "$ssl"/front-proxy-* "$ssl"/kmetricsd-ca*)" ] || fail "a file was overwritten"

[ "$(openssl x509 -in "$ssl/front-proxy-client.pem" -noout -subject -nameopt RFC2253)" = "subject=CN=front-proxy-client" ] || fail "CN of the front-proxy client"
openssl x509 -in "$ssl/front-proxy-client.pem" -noout -ext extendedKeyUsage | grep -c "TLS Web Client Authentication"
openssl verify -purpose sslclient -CAfile "$ssl/front-proxy-ca.pem" "$ssl/front-proxy-client.pem"
openssl verify -purpose sslserver -CAfile "$ssl/kmetricsd-ca.pem" "$LAB/kmetricsd/state/kmetricsd-serving.pem"
openssl verify -purpose sslclient -CAfile "$ssl/ca.pem" "$LAB/kmetricsd/state/kmetricsd.pem"
for name in kmetricsd.kube-system.svc metrics-server.kube-system.svc custom-metrics-apiserver.monitoring.svc; do
	openssl x509 -in "$LAB/kmetricsd/state/kmetricsd-serving.pem" -noout -checkhost "$name" | grep -c "does match" || fail "no SAN $name"
done
openssl x509 -in "$LAB/kmetricsd/state/kmetricsd-serving.pem" -noout -checkip 10.99.0.1 | grep -c "does match" || fail "no SAN 10.99.0.1"

for key in "$ssl"/front-proxy-ca-key.pem "$ssl"/front-proxy-client-key.pem "$ssl"/kmetricsd-ca-key.pem "$LAB"/kmetricsd/state/*-key.pem; do
	[ "$(stat -c %a "$key")" = 600 ] || fail "$key is mode $(stat -c %a "$key")"
done

kmetricsd certs list --config "$ini"
kmetricsd certs list -o json --config "$ini" | jq -e 'length == 6 and all(.state == "ok" and .chainOK)' >/dev/null || fail "certs list is not all ok"
