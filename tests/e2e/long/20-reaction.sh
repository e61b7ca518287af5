# SPDX-License-Identifier: Apache-2.0
# From the instant a real pod begins to burn four times its request until spec.replicas has changed: the in-tree controller on our metrics, then ours, ten trials
# each (TRIALS), with metric-resolution at its default of 15 s.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
trials=${TRIALS:-10}
ssl=$LAB/opt/kubernetes/ssl
flags=$LAB/flags/kube-controller-manager

restart_daemon() {
	local pid
	pid=$(daemon_pid)
	kill "$pid"
	restarted() { [ "$(daemon_pid)" != "$pid" ]; }
	wait_for 30 "the daemon was restarted" restarted
}
turn() { kmetricsd status -o json --config "$ini" | jq -r '.modules[] | select(.name == "hpa").details.turn'; }
is_active() { [ "$(turn)" = "HPA active" ]; }
in_tree() { # on|off
	"$cluster" stop "$LAB" kube-controller-manager
	case $1 in
	on) sed -i 's/^--controllers=.*/--controllers=*/' "$flags" ;;
	off) sed -i 's/^--controllers=.*/--controllers=*,-horizontalpodautoscaling/' "$flags" ;;
	esac
	"$cluster" start "$LAB" kube-controller-manager
}
restore() {
	sed -i "s/^metric-resolution = .*/metric-resolution = ${RESOLUTION}s/; /^# added by 20-reaction/,\$d" "$ini"
	restart_daemon
	in_tree on
	k delete hpa react --ignore-not-found
	k -n kube-system delete hpa kmetricsd-canary --ignore-not-found
	unburn react
}
trap restore EXIT

sed -i 's/^metric-resolution = .*/metric-resolution = 15s/' "$ini"
printf '# added by 20-reaction\n[hpa]\n' >>"$ini"
restart_daemon
kmetricsd wire apply --auto --config "$ini"
burn react 1 "2 16"
wait_for 90 "one pod runs" has_ready_pods react 1
k create -f - <<END
apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: {name: react}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: react}
  minReplicas: 1
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
END

rests() { # one pod, and the HPA knows that it is idle
	[ "$(k get deployment react -o 'jsonpath={.spec.replicas} {.status.replicas} {.status.readyReplicas}')" = "1 1 1" ] &&
		k get --raw /apis/autoscaling/v2beta2/namespaces/default/horizontalpodautoscalers/react |
		jq -e '.status.currentMetrics[0].resource.current.averageUtilization < 30 and .status.currentReplicas == 1' >/dev/null
}
measure() { # NAME
	local i since
	: >"$LAB/$1.times"
	for ((i = 0; i < trials; i++)); do
		load react "2 16"
		wait_for 180 "at rest" rests >/dev/null
		# no condition: the phase of scrapes and sync periods is what varies from trial to trial
		sleep "$((RANDOM % 15)).$((RANDOM % 10))"
		since=$(date +%s%N)
		load react "40 16"
		inside "$here/lib/replicas.py" --ca "$ssl/ca.pem" --cert "$ssl/admin.pem" --key "$ssl/admin-key.pem" --name react --above 1 --since "$since" >>"$LAB/$1.times"
	done
	load react "2 16"
	sort -n "$LAB/$1.times" | awk -v name="$1" '{ t[NR] = $1; sum += $1 }
		END { m = NR % 2 ? t[(NR + 1) / 2] : (t[NR / 2] + t[NR / 2 + 1]) / 2
		      printf "figure reaction_%s_median %.1f s\nfigure reaction_%s_max %.1f s\nfigure reaction_%s_trials %d count\n", name, m, name, t[NR], name, NR }'
}

measure in_tree
in_tree off
wait_for 150 "the in-tree controller is gone: ours is active" is_active
measure ours
kmetricsd explain default/react --config "$ini"
[ "$(sort -n "$LAB/ours.times" | tail -n 1 | cut -d. -f1)" -lt 8 ] || fail "ours took more than 8 s once"
