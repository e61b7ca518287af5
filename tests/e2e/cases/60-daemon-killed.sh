# SPDX-License-Identifier: Apache-2.0
# The daemon SIGKILLed: its supervisor starts it again, it serves again, with the same certificates and the kubelets' pins kept.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"

serving=$(sha256sum <"$LAB/kmetricsd/state/kmetricsd-serving.pem")
pid=$(daemon_pid)
# what runs in the namespace is a child of the supervised process or that process itself
kill -9 "$pid"
restarted() { [ "$(daemon_pid)" != "$pid" ]; }
wait_for 20 "started again" restarted
wait_for 30 "discovery is served" k get --raw /apis/metrics.k8s.io/v1beta1
wait_for 60 "figures are served" has_node node1
wait_for 60 "the APIService is Available" k wait --for=condition=Available --timeout=1s apiservice/v1beta1.metrics.k8s.io
[ "$serving" = "$(sha256sum <"$LAB/kmetricsd/state/kmetricsd-serving.pem")" ] || fail "the serving certificate was made anew"
kmetricsd status --config "$ini"
