# SPDX-License-Identifier: Apache-2.0
# kube-apiserver killed and started again: the daemon recovers without a restart of its own, and sees what happened meanwhile.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"

burn outage 1 "10 16"
wait_for 90 "one pod runs" has_ready_pods outage 1
pid=$(daemon_pid)
from=$(log_lines)
"$cluster" kill "$LAB" kube-apiserver
wait_for 60 "the daemon noticed" logged_since "$from" "watching (nodes|pods)"
"$cluster" start "$LAB" kube-apiserver
wait_for 60 "figures of nodes again" has_node node1
k scale deployment outage --replicas=2
wait_for 90 "two pods run" has_ready_pods outage 2
wait_for 90 "the new pod was seen by the watch and has figures" pods_have_metrics outage 2
wait_for 60 "all watches work again" logged_since "$from" "works again"
[ "$pid" = "$(daemon_pid)" ] || fail "the daemon was restarted"
unburn outage
