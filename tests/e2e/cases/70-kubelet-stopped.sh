# SPDX-License-Identifier: Apache-2.0
# A kubelet that stops: its last good sample is served for 2.5 x metric-resolution, then the node is 404 and gone from lists; another node with a self-signed
# certificate (a second kubelet-like end point, older than /metrics/resource) does not suffer. A changed self-signed certificate is refused with the remedy.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
state=$LAB/node2
mkdir -p "$state"
second=
clean_up() {
	[ -z "$second" ] || kill "$second" 2>/dev/null || true
	k delete node node2 --ignore-not-found >/dev/null 2>&1 || true
	"$cluster" start "$LAB" kubelet >/dev/null 2>&1 || true
}
trap clean_up EXIT

certificate() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=node2@1" -addext "subjectAltName=DNS:node2" -keyout "$state/key.pem" -out "$state/cert.pem" 2>/dev/null; }
start_second() {
	# not by way of a function: $! must be the process that gets our signal
	"$cluster" exec "$LAB" python3 "$here/lib/kubelet.py" --address 10.99.0.1 --port 10350 --cert "$state/cert.pem" --key "$state/key.pem" --client-ca "$LAB/opt/kubernetes/ssl/ca.pem" \
		--only-summary >"$state/log" 2>&1 &
	second=$!
	wait_for 20 "the second kubelet listens" inside bash -c 'exec 3<>/dev/tcp/10.99.0.1/10350'
}

from=$(log_lines)
certificate
start_second
k create -f - <<END
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node2", "labels": {"kubernetes.io/hostname": "node2"}}}
END
k get node node2 -o json | jq '.status.addresses = [{"type": "InternalIP", "address": "10.99.0.1"}] | .status.daemonEndpoints.kubeletEndpoint.Port = 10350' |
	k replace --raw /api/v1/nodes/node2/status -f - >/dev/null
wait_for 60 "the self-signed certificate was pinned, with its fingerprint in the log" \
	logged_since "$from" "node2.*SHA-256 $(openssl x509 -in "$state/cert.pem" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr A-F a-f)"
wait_for 60 "node2 has figures from /stats/summary" has_node node2
metrics nodes/node2 | jq -e '.usage.cpu' >/dev/null
wait_for 60 "node1 has figures" has_node node1

"$cluster" stop "$LAB" kubelet
stopped=$SECONDS
has_node node1 || fail "the last good sample is not served right after the stop"
wait_for 60 "node1 is gone from GET and lists" lacks_node node1
took=$((SECONDS - stopped))
# served for 2.5 x resolution after the last scrape, which was at most one resolution before the stop
[ "$took" -ge $((RESOLUTION * 5 / 2 - RESOLUTION - 1)) ] && [ "$took" -le $((RESOLUTION * 5 / 2 + 4)) ] || fail "gone after $took s, expected about $((RESOLUTION * 5 / 2)) s"
has_node node2 || fail "node2 suffers"
(metrics nodes/node1 2>&1 || true) | grep -c 'NotFound' || fail "GET of the stopped node is not 404"
k wait --for=condition=Available --timeout=1s apiservice/v1beta1.metrics.k8s.io
"$cluster" start "$LAB" kubelet
wait_for 90 "node1 is back" has_node node1

# another certificate at the same place: refused, with what to do
from=$(log_lines)
kill "$second"
wait "$second" 2>/dev/null || true
inside bash -c 'exec 3<>/dev/tcp/10.99.0.1/10350' 2>/dev/null && fail "the first one still listens"
certificate
start_second
wait_for 60 "the changed certificate is refused, with the remedy" logged_since "$from" "node2.*certificate has changed.*kubelet-pins.json"
wait_for 60 "node2 is gone" lacks_node node2
has_node node1
