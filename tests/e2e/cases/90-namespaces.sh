# SPDX-License-Identifier: Apache-2.0
# Namespaces delete cleanly while the daemon runs, while it is killed again and again and, deleted while it is stopped, as soon as it is back: what is never asked
# for metrics never fails the namespace controller.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
delete_namespace() {
	k create namespace "$1"
	k -n "$1" create configmap something --from-literal=a=b
	k delete namespace "$1" --wait=false
}
gone() { ! k get namespace "$1" >/dev/null 2>&1; }
answers() { metrics nodes >/dev/null; }

wait_for 60 "we answer" answers
delete_namespace while-started
wait_for 60 "gone while the daemon runs" gone while-started
k api-resources --api-group=metrics.k8s.io

# killed three times while a namespace is being deleted; its supervisor starts it again
delete_namespace while-killed
for _ in 1 2 3; do
	pid=$(daemon_pid)
	kill -KILL "$pid"
	again() { [ "$(daemon_pid)" != "$pid" ]; }
	wait_for 30 "started again" again
	wait_for 60 "we answer" answers
done
wait_for 90 "gone although the daemon was killed" gone while-killed

# stopped: the supervisor is held, so that nothing starts it again
supervisor=$(ps -o ppid= -p "$(daemon_pid)" | tr -d ' ')
kill -STOP "$supervisor"
trap 'kill -CONT "$supervisor"' EXIT
pid=$(daemon_pid)
kill "$pid"
ended() { [ ! -e "/proc/$pid" ] || grep -q '^State:[[:space:]]*Z' "/proc/$pid/status"; }
wait_for 30 "the daemon is stopped" ended
delete_namespace while-stopped
unavailable() { k get apiservice v1beta1.metrics.k8s.io -o json | jq -e '.status.conditions[] | select(.type == "Available" and .status == "False")'; }
wait_for 90 "kube-apiserver notices" unavailable
if (gone while-stopped); then echo "gone while the daemon is stopped"; else k get namespace while-stopped -o json | jq -c '.status.conditions'; fi
kill -CONT "$supervisor"
trap - EXIT
wait_for 60 "we answer again" answers
wait_for 120 "gone once the daemon is back" gone while-stopped
