# SPDX-License-Identifier: Apache-2.0
# `wire apply --auto` makes the APIService available with verified TLS; it is idempotent, mends a wrong caBundle, and leaves another owner's alone.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
name=v1beta1.metrics.k8s.io

kmetricsd wire apply --auto --config "$ini"
wait_for 60 "the APIService is Available" k wait --for=condition=Available --timeout=1s "apiservice/$name"
k get apiservice "$name" -o json | jq -e '.spec.caBundle != null and (.spec.insecureSkipTLSVerify // false | not) and .spec.service.name == "kmetricsd"' >/dev/null ||
	fail "the APIService is not ours with a caBundle"
wait_for 30 "nodes through the API server" metrics nodes
wait_for 30 "node1 has figures" has_node node1

again=$(kmetricsd wire apply --auto --config "$ini" 2>&1)
echo "$again"
[ "$(grep -c unchanged <<<"$again")" = "$(grep -cE 'unchanged|created|updated' <<<"$again")" ] || fail "the second run changed something"

# TLS is verified: with another CA in caBundle no request comes through, and `wire apply` puts the right one back
k patch apiservice "$name" --type=merge -p "{\"spec\":{\"caBundle\":\"$(base64 -w0 "$LAB/opt/kubernetes/ssl/ca.pem")\"}}"
wrong_ca() { ! metrics nodes >/dev/null 2>&1; }
wait_for 30 "a wrong caBundle stops requests" wrong_ca
kmetricsd wire apply --auto --config "$ini"
wait_for 30 "the right caBundle lets them through" metrics nodes

# another owner's APIService (W13) is refused, exit 1, and not changed
k patch apiservice "$name" --type=merge -p '{"spec":{"service":{"name":"metrics-server"}}}'
status=0
out=$(kmetricsd wire apply --auto --config "$ini" 2>&1) || status=$?
echo "$out"
[ "$status" = 1 ] || fail "taking over another's APIService ended with $status, not 1"
grep -q "served by kube-system/metrics-server, not by kmetricsd" <<<"$out" || fail "the refusal does not name the owner"
[ "$(k get apiservice "$name" -o 'jsonpath={.spec.service.name}')" = metrics-server ] || fail "it was changed all the same"
k patch apiservice "$name" --type=merge -p '{"spec":{"service":{"name":"kmetricsd"}}}'

# the printed YAML is what is there: kubectl finds nothing to change
kmetricsd wire print --config "$ini" >"$LAB/wire.yaml"
k apply --dry-run=server -f "$LAB/wire.yaml" 2>&1 | grep -v "last-applied-configuration"
k diff -f "$LAB/wire.yaml" | grep -E '^[+-] ' | grep -vE 'generation|last-applied|managed|skip-mirror' && fail "wire print differs from what wire apply put there" || true
wait_for 60 "Available again" k wait --for=condition=Available --timeout=1s "apiservice/$name"
