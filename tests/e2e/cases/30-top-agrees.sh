# SPDX-License-Identifier: Apache-2.0
# `kubectl top` tells the truth: CPU within 5 % of the difference of the kubelet's own counter over the same window, memory equal to what the kubelet said.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
ssl=$LAB/opt/kubernetes/ssl

burn truth 2 "30 24"
wait_for 90 "two pods run" has_ready_pods truth 2
wait_for 90 "both have figures" pods_have_metrics truth 2
inside python3 "$here/lib/agree.py" --kubelet https://10.99.0.1:10250 --ca "$ssl/ca.pem" \
	--cert "$LAB/kmetricsd/state/kmetricsd.pem" --key "$LAB/kmetricsd/state/kmetricsd-key.pem" \
	--kubeconfig "$LAB/admin.kubeconfig" --selector app=truth --seconds 45
k top nodes
k top nodes | grep -cE '^node1 +[0-9]+m +[0-9]+% +[0-9]+Mi'
k top pods -l app=truth --containers
[ "$(k top pods -l app=truth --containers --no-headers | awk '{ print $2 }' | sort -u)" = burn ] || fail "top pods --containers names not the container"
# --sort-by: the busiest first
sorted() { k top pods -A --no-headers --sort-by="$1" | awk -v column="$2" '{ sub(/m|Mi/, "", $column); print $column }'; }
for by in cpu:3 memory:4; do
	sorted "${by%:*}" "${by#*:}" >"$LAB/sorted"
	[ -s "$LAB/sorted" ] && sort -rn "$LAB/sorted" | cmp - "$LAB/sorted" || fail "top pods --sort-by=${by%:*}"
done
[ "$(k top pods -l app=truth --no-headers | wc -l)" = 2 ] || fail "top pods -l shows not both"
[ "$(k top pods -A --no-headers | grep -c truth)" = 2 ] || fail "top pods -A shows not both"
k get podmetrics -l app=truth
k get podmetrics -l app=truth | grep -c "CPU" || fail "no Table for get podmetrics"
k get nodemetrics node1
(k get --raw "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/nope" 2>&1 || true) | grep -c 'pods "nope" not found' || fail "the 404 text"
(k get --raw "/apis/metrics.k8s.io/v1beta1/pods?labelSelector=a%20b%20c" 2>&1 || true) | grep -c "unable to parse requirement" || fail "the 400 text"
unburn truth
