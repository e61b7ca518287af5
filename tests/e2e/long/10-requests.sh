# SPDX-License-Identifier: Apache-2.0
# Thirteen minutes of continuous requests through kube-apiserver: first ten minutes in which reloads, scaling, new serving and client certificates and a caBundle
# written anew happen (no request may fail), then a restart of the daemon and then one of kube-apiserver, whose outages are measured. LONG_SECONDS shortens the first
# part for trying out.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
quiet=${LONG_SECONDS:-600}
ask() {
	inside python3 "$here/lib/requests.py" --host 127.0.0.1 --ca "$LAB/opt/kubernetes/ssl/ca.pem" --cert "$LAB/opt/kubernetes/ssl/admin.pem" \
		--key "$LAB/opt/kubernetes/ssl/admin-key.pem" --seconds "$1"
}
kmetricsd wire apply --auto --config "$ini"
wait_for 60 "the APIService is Available" k wait --for=condition=Available --timeout=1s apiservice/v1beta1.metrics.k8s.io
burn long 1 "10 16"
wait_for 90 "one pod runs" has_ready_pods long 1
wait_for 60 "figures" pods_have_metrics long 1

ask "$quiet" >"$LAB/quiet.out" &
asking=$!
replicas=1 rotations=0
state=$LAB/kmetricsd/state
serving() { openssl x509 -in "$state/kmetricsd-serving.pem" -noout -fingerprint; }
while kill -0 "$asking" 2>/dev/null; do
	old=$(serving)
	rm "$state"/kmetricsd{-serving,}{,-key}.pem
	kill -HUP "$(daemon_pid)"
	rotated() { [ "$(serving)" != "$old" ]; }
	wait_for 30 "new certificates" rotated
	rotations=$((rotations + 1))
	k patch apiservice v1beta1.metrics.k8s.io --type=merge -p "{\"spec\":{\"caBundle\":\"$(cat "$LAB/opt/kubernetes/ssl/ca.pem" "$LAB/opt/kubernetes/ssl/kmetricsd-ca.pem" | base64 -w0)\"}}"
	kmetricsd wire apply --auto --config "$ini"
	replicas=$((replicas % 3 + 1))
	k scale deployment long --replicas=$replicas
	wait_for 90 "$replicas pods run" has_ready_pods long $replicas
done
wait "$asking"
sed 's/^figure /figure quiet_/' "$LAB/quiet.out"
echo "figure quiet_rotations $rotations count"
grep -c '^figure requests_failed 0 ' "$LAB/quiet.out" || fail "requests failed while nothing but reloads, scaling and rotations happened"

# outage NAME COMMAND...: requests for a minute and a half, in which COMMAND ends something and brings it back.
outage() {
	local name=$1
	shift
	ask 90 >"$LAB/$name.out" &
	asking=$!
	"$@"
	wait_for 80 "figures again" pods_have_metrics long "$replicas"
	wait "$asking"
	grep -v "^figure " "$LAB/$name.out" || true
	sed -n "s/^figure /figure ${name}_/p" "$LAB/$name.out"
}
restart_daemon() {
	local pid
	pid=$(daemon_pid)
	kill "$pid"
	restarted() { [ "$(daemon_pid)" != "$pid" ]; }
	wait_for 30 "the daemon was restarted" restarted
}
restart_apiserver() {
	"$cluster" kill "$LAB" kube-apiserver
	"$cluster" start "$LAB" kube-apiserver
}
outage daemon_restart restart_daemon
outage apiserver_restart restart_apiserver
# what starts it in the cluster's network has the same words on its command line, and is smaller
echo "figure daemon_rss $(pgrep -f "$KMETRICSD run" | xargs -I{} awk '/VmRSS/ { print $2 }' /proc/{}/status | sort -n | tail -n 1) kB"
unburn long
