# SPDX-License-Identifier: Apache-2.0
# Our HPA controller: passive while the in-tree one lives; with that one off it scales a real busy Deployment 1 -> several -> 1; with that one back on, and off again,
# there are never two writers, by the API server's audit log of every scale change.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
flags=$LAB/flags/kube-controller-manager
audit=$LAB/log/scale-audit.log

restart_daemon() {
	local pid
	pid=$(daemon_pid)
	kill "$pid"
	restarted() { [ "$(daemon_pid)" != "$pid" ]; }
	wait_for 30 "the daemon was restarted" restarted
}
turn() { kmetricsd status -o json --config "$ini" | jq -r '.modules[] | select(.name == "hpa").details.turn'; }
is_active() { [ "$(turn)" = "HPA active" ]; }
is_passive() { turn | grep -q '^HPA passive: .*scales; to hand over'; }
in_tree() { # on|off
	"$cluster" stop "$LAB" kube-controller-manager
	case $1 in
	on) sed -i 's/^--controllers=.*/--controllers=*/' "$flags" ;;
	off) sed -i 's/^--controllers=.*/--controllers=*,-horizontalpodautoscaling/' "$flags" ;;
	esac
	"$cluster" start "$LAB" kube-controller-manager
}
replicas() { k get deployment ours -o 'jsonpath={.spec.replicas}'; }
podinfo_status() { k get --raw /apis/autoscaling/v2beta2/namespaces/default/horizontalpodautoscalers/podinfo | jq .status; }
podinfo_has_two() { [ "$(k get deployment podinfo -o 'jsonpath={.spec.replicas}')" = 2 ]; }
podinfo_has_both_metrics() { podinfo_status | jq -e '[.currentMetrics[].resource | select((.current.averageUtilization // 0) > 0 or (.name == "memory" and .current.averageValue != "0"))] | length == 2' >/dev/null; }
several() { [ "$(replicas)" -ge 3 ]; }
one() { [ "$(replicas)" = 1 ]; }
# Who changed our Deployment's scale since the audit log's line number FROM, in order, each run of one user as one line
writers_since() {
	tail -n "+$(($1 + 1))" "$audit" | jq -r 'select(.objectRef.name == "ours" and .objectRef.subresource == "scale" and .responseStatus.code < 300).user.username' | uniq
}
# the log is made with its first line
audit_lines() { wc -l 2>/dev/null <"$audit" || echo 0; }
restore() {
	sed -i '/^# added by 45-hpa-ours/,$d' "$ini"
	restart_daemon
	in_tree on
	k delete hpa ours podinfo --ignore-not-found
	k -n kube-system delete hpa kmetricsd-canary --ignore-not-found
	unburn ours
	unburn podinfo
}
trap restore EXIT

cat >>"$ini" <<END
# added by 45-hpa-ours
[hpa]
horizontal-pod-autoscaler-downscale-stabilization = 15s
END
restart_daemon
kmetricsd wire apply --auto --config "$ini"
wait_for 60 "beside a living in-tree controller ours is passive, and says how to hand over" is_passive
turn
burn ours 1 "5 16"
wait_for 90 "one pod runs" has_ready_pods ours 1

in_tree off
wait_for 150 "the in-tree controller is gone: ours is active" is_active

burn podinfo 1 "5 16"
k create -f "$here/manifests/howto-hpa.yaml"
wait_for 60 "the manual's HPA works as it is written: two replicas at least" podinfo_has_two
wait_for 60 "both of its metrics are known" podinfo_has_both_metrics
podinfo_status | jq -r '.conditions[] | select(.type == "AbleToScale").message' | tee "$LAB/podinfo.out"
grep -q 'scaleTargetRef names extensions/v1beta1, which this server does not have: apps/v1 is scaled instead' "$LAB/podinfo.out" || fail "the HPA does not say what was made of its target"
k delete hpa podinfo
unburn podinfo

start=$(audit_lines)
NAME=ours envsubst <"$here/manifests/burn-hpa.yaml" | k apply -f -
load ours "40 16"
wait_for 120 "scaled up to several" several
wait_for 60 "they run" has_ready_pods ours "$(replicas)"
k get hpa ours
load ours "1 16"
wait_for 120 "scaled down to one" one
# As Kubernetes' own reads: what describe shows of conditions depends on kubectl's version, so these are looked at in the object.
k describe hpa ours | tee "$LAB/describe.out"
for text in 'Reference: +Deployment/ours' 'Deployment pods: +[0-9]+ current / [0-9]+ desired' \
	'SuccessfulRescale .*horizontal-pod-autoscaler +New size: 1; reason: All metrics below target' \
	'SuccessfulRescale .*horizontal-pod-autoscaler +New size: [34]; reason: cpu resource utilization \(percentage of request\) above target'; do
	grep -qE "$text" "$LAB/describe.out" || fail "describe lacks: $text"
done
k get --raw /apis/autoscaling/v2beta2/namespaces/default/horizontalpodautoscalers/ours |
	jq -r '.status.conditions[] | "\(.type) \(.status) \(.reason) \(.message)"' | tee "$LAB/conditions.out"
for text in '^AbleToScale True (SucceededRescale the HPA controller was able to update the target scale to 1|ReadyForNewScale recommended size matches current size)$' \
	'^ScalingActive True ValidMetricFound the HPA was able to successfully calculate a replica count from cpu resource utilization \(percentage of request\)$' \
	'^ScalingLimited (True TooFewReplicas the desired replica count is less than the minimum replica count|False DesiredWithinRange .*)$'; do
	grep -qE "$text" "$LAB/conditions.out" || fail "conditions lack: $text"
done
[ "$(writers_since "$start" | sed 's/:.*//' | uniq)" = kmetricsd ] || fail "not only ours has scaled: $(writers_since "$start")"

# On again while ours runs: it steps back before the other one's first change.
start=$(audit_lines)
in_tree on
wait_for 60 "the in-tree controller is back: ours is passive" is_passive
load ours "40 16"
wait_for 150 "the in-tree controller scales" several
in_tree off
wait_for 150 "gone again: ours is active" is_active
load ours "1 16"
wait_for 120 "ours scales down to one" one
writers_since "$start" | tee "$LAB/writers.out"
[ "$(sed 's/^kmetricsd.*/ours/; s/^system:.*/in-tree/' "$LAB/writers.out" | uniq | tr '\n' ' ')" = "in-tree ours " ] || fail "writers were not one after the other"
