# SPDX-License-Identifier: Apache-2.0
# Clients that do not come through the API server: a ServiceAccount's token is judged by TokenReview and SubjectAccessReview, X-Remote-* headers without the
# front proxy's certificate count for nothing, impersonation is refused; each refusal is logged with its reason.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
address=$(k get endpoints -n kube-system kmetricsd -o 'jsonpath={.subsets[0].addresses[0].ip}')
port=$(k get endpoints -n kube-system kmetricsd -o 'jsonpath={.subsets[0].ports[0].port}')
ca=$(mktemp "$LAB/caXXXXXX")
trap 'rm -f "$ca"; k delete serviceaccount reader --ignore-not-found; k delete rolebinding reader --ignore-not-found; k delete role reader --ignore-not-found' EXIT
k get apiservice v1beta1.metrics.k8s.io -o 'jsonpath={.spec.caBundle}' | base64 -d >"$ca"

# answers STATUS PATH [HEADER...]: whether the daemon answers with it (the body goes to direct.json)
answers() {
	local want=$1 path=$2 have
	shift 2
	have=$(inside curl -sS -o "$LAB/direct.json" -w '%{http_code}' --cacert "$ca" --resolve "kmetricsd.kube-system.svc:$port:$address" \
		"${@/#/-H}" "https://kmetricsd.kube-system.svc:$port$path")
	[ "$have" = "$want" ] || fail "$path: $have, not $want: $(cat "$LAB/direct.json")"
}
pods=/apis/metrics.k8s.io/v1beta1/namespaces/default/pods

k create serviceaccount reader
token=$(k create --raw /api/v1/namespaces/default/serviceaccounts/reader/token -f - <<<'{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}' | jq -re .status.token)
bearer="Authorization: Bearer $token"

from=$(log_lines)
answers 403 $pods
answers 403 $pods "X-Remote-User: admin" "X-Remote-Group: system:masters"
answers 403 $pods "$bearer"
jq -e '.message == "pods.metrics.k8s.io is forbidden: User \"system:serviceaccount:default:reader\" cannot list resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"default\""' \
	"$LAB/direct.json" >/dev/null || fail "the refusal reads otherwise: $(cat "$LAB/direct.json")"
answers 401 $pods "$bearer-"
wait_for 5 "the log says whom it refused" logged_since "$from" 'User "system:serviceaccount:default:reader" cannot list'
wait_for 5 "and why the token was refused" logged_since "$from" 'client [0-9.]+: .*(bearer token|invalid|signature)'

k create role reader --verb=get,list --resource=pods.metrics.k8s.io
k create rolebinding reader --role=reader --serviceaccount=default:reader
wait_for 30 "the role counts" answers 200 $pods "$bearer"
jq -e '.kind == "PodMetricsList"' "$LAB/direct.json" >/dev/null || fail "no list: $(cat "$LAB/direct.json")"
answers 200 "$pods?labelSelector=app" "$bearer"
answers 403 /apis/metrics.k8s.io/v1beta1/nodes "$bearer"
answers 403 $pods "$bearer" "Impersonate-User: admin"
answers 200 /livez

k delete serviceaccount reader
wait_for 60 "a token of nobody's any more is refused" answers 401 $pods "$bearer"
