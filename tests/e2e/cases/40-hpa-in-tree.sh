# SPDX-License-Identifier: Apache-2.0
# The in-tree HPA controller scales a real busy Deployment 1 -> several -> 1 on our metrics, which it asks for in protobuf.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"

protobuf() { kmetricsd status -o json --config "$ini" | jq '.modules[] | select(.name == "aggregator") | .counters.api_protobuf_requests_total'; }
before=$(protobuf)

burn hpa 1 "5 16"
wait_for 90 "one pod runs" has_ready_pods hpa 1
NAME=hpa envsubst <"$here/manifests/burn-hpa.yaml" | k apply -f -
replicas() { k get deployment hpa -o 'jsonpath={.spec.replicas}'; }
target_known() { k get --raw /apis/autoscaling/v2beta2/namespaces/default/horizontalpodautoscalers/hpa | jq -e '.status.currentMetrics[0].resource.current.averageUtilization != null' >/dev/null; }
wait_for 90 "the HPA reads our metrics" target_known
k get hpa hpa
load hpa "40 16"
several() { [ "$(replicas)" -ge 3 ]; }
wait_for 120 "scaled up to several" several
wait_for 60 "they run" has_ready_pods hpa "$(replicas)"
load hpa "1 16"
one() { [ "$(replicas)" = 1 ]; }
wait_for 180 "scaled down to one" one
k describe hpa hpa | tail -n 12
echo "requests in protobuf: $before before, $(protobuf) now"
[ "$(protobuf)" -gt "$before" ] || fail "the in-tree controller did not ask in protobuf"
k delete hpa hpa
unburn hpa
